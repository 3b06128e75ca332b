package commands

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"

	"postgresql-broker/cf-plugin/internal/broker"
	"postgresql-broker/cf-plugin/internal/rest"
	"postgresql-broker/cf-plugin/internal/session"
	"postgresql-broker/cf-plugin/internal/terminal"
	"postgresql-broker/cf-plugin/internal/trust"
)

// Env is what commands work with.
type Env struct {
	CLI session.CLI
	// Terminal is made once it is known whether JSON is wanted.
	OpenTerminal func(json bool) *terminal.Terminal
	HTTP         func(skipTLSVerify bool) *http.Client
	OpenTrust    func() (*trust.Store, error)
	Now          func() time.Time
	// Patience with operations, and the pause between tries of a call; nil: by the clock.
	Patience broker.Patience
	Pause    func(context.Context, time.Duration) error

	*terminal.Terminal
	parting atomic.Pointer[string]
}

// NewEnv is the one of a process that cf has started.
func NewEnv(cli session.CLI) *Env {
	return &Env{
		CLI:          cli,
		OpenTerminal: func(json bool) *terminal.Terminal { return terminal.Open(terminal.Options{JSON: json}) },
		HTTP:         rest.NewHTTP,
		OpenTrust:    trust.OpenStore,
		Now:          time.Now,
		Patience:     broker.DefaultPatience,
	}
}

// Parting is what somebody who breaks the command off now should know; empty where there is nothing.
func (e *Env) Parting() string {
	if line := e.parting.Load(); line != nil {
		return *line
	}
	return ""
}

func (e *Env) onInterrupt(line string) {
	line = terminal.Printable(line)
	e.parting.Store(&line)
}

// errReported says that a command has failed and has said so itself.
var errReported = errors.New("reported")

// Run carries out a command line, the command's name first, and gives the exit code.
func Run(ctx context.Context, env *Env, args []string) int {
	// Before the options are read, an error must already know where to go.
	env.Terminal = env.OpenTerminal(slices.Contains(args, "--json"))
	command, found := Find(args[0])
	if !found {
		env.Failed(fmt.Sprintf("unknown command %q", args[0]))
		return 1
	}
	options, err := command.parse(args[1:])
	if err != nil {
		env.Failed("Incorrect Usage: "+err.Error(), "See 'cf help "+command.Name+"'")
		_ = env.Document(map[string]any{"error": map[string]any{"code": "usage", "detail": err.Error()}})
		return 1
	}
	if err := options.run(ctx, env); err != nil {
		if !errors.Is(err, errReported) {
			env.report(err)
		}
		return 1
	}
	return 0
}

// report says why a command has failed.
func (e *Env) report(err error) {
	lines := []string{err.Error()}
	document := map[string]any{"code": "failed", "detail": err.Error()}
	var refusal *rest.Refusal
	if errors.As(err, &refusal) {
		document["detail"] = refusal.Detail
		for name, value := range refusal.Document {
			document[name] = value
		}
		lines = append(lines, furtherLines(document)...)
	}
	var unreachable *rest.Unreachable
	if errors.As(err, &unreachable) {
		document["code"] = "unreachable"
	}
	e.Failed(lines...)
	_ = e.Document(map[string]any{"error": document})
}

// furtherLines are what an error's document says beside its detail.
func furtherLines(document map[string]any) []string {
	var lines []string
	for _, name := range []string{"errors", "differences", "left_out"} {
		if list, isList := document[name].([]any); isList {
			for _, each := range list {
				lines = append(lines, fmt.Sprintf("   %v", each))
			}
		}
	}
	if missing, isNumber := document["missing_bytes"].(float64); isNumber {
		lines = append(lines, fmt.Sprintf("missing: %s", size(int64(missing))))
	}
	if id, isText := document["operation_id"].(string); isText {
		lines = append(lines, fmt.Sprintf("operation: %s", id))
	}
	if id, isText := document["request_id"].(string); isText {
		lines = append(lines, fmt.Sprintf("request: %s", id))
	}
	return lines
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }

func sizeOf(bytes *int64) string {
	if bytes == nil {
		return ""
	}
	return size(*bytes)
}

func knownSize(bytes *int64) string {
	if bytes == nil {
		return "size unknown"
	}
	return size(*bytes)
}

func exactSize(bytes int64) string {
	if bytes < 1024 {
		return size(bytes)
	}
	return fmt.Sprintf("%s (%d bytes)", size(bytes), bytes)
}

func number(value *int64) string {
	if value == nil {
		return ""
	}
	return humanize.Comma(*value)
}

func text(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}

func clock(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05Z") }

func clockOf(at *time.Time) string {
	if at == nil {
		return ""
	}
	return clock(*at)
}

func (e *Env) age(at time.Time) string { return humanize.RelTime(at, e.Now(), "ago", "from now") }
