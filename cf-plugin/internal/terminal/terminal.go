// Package terminal writes for people as cf does, and one JSON document for programs.
package terminal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/fatih/color"
	"golang.org/x/term"
)

// Terminal is where a command's words go.
type Terminal struct {
	out, err io.Writer
	in       *bufio.Reader
	// JSON: standard output is one document, everything else goes to standard error.
	JSON bool
	// live: somebody looks on, so lines may be written over.
	live bool
	// lineShown: the live line stands there; the next word begins by removing it.
	lineShown atomic.Bool
	width     func() int
	name, good, bad, bold,
	warn *color.Color
}

// Options of a terminal.
type Options struct {
	JSON bool
	// Live and Color as they are to be; nil: by the terminal and the environment.
	Live, Color *bool
}

// Open uses the process's own streams.
func Open(options Options) *Terminal {
	words := os.Stdout
	if options.JSON {
		words = os.Stderr
	}
	isTerminal := term.IsTerminal(int(words.Fd())) || truth("FORCE_TTY") == "true"
	if options.Live == nil {
		options.Live = &isTerminal
	}
	if options.Color == nil {
		wanted := isTerminal && os.Getenv("NO_COLOR") == ""
		if set := truth("CF_COLOR"); set != "" {
			wanted = set == "true"
		}
		options.Color = &wanted
	}
	t := New(os.Stdin, os.Stdout, os.Stderr, options)
	t.width = func() int {
		if width, _, err := term.GetSize(int(words.Fd())); err == nil && width > 0 {
			return width
		}
		return 80
	}
	return t
}

// New uses other streams; Live and Color are off unless given.
func New(in io.Reader, out, err io.Writer, options Options) *Terminal {
	t := &Terminal{in: bufio.NewReader(in), out: out, err: err, JSON: options.JSON, width: func() int { return 80 }}
	t.live = options.Live != nil && *options.Live
	wanted := options.Color != nil && *options.Color
	t.name = paint(wanted, color.FgCyan, color.Bold)
	t.good = paint(wanted, color.FgGreen, color.Bold)
	t.bad = paint(wanted, color.FgRed, color.Bold)
	t.warn = paint(wanted, color.FgMagenta, color.Bold)
	t.bold = paint(wanted, color.Bold)
	return t
}

func paint(wanted bool, attributes ...color.Attribute) *color.Color {
	paint := color.New(attributes...)
	if wanted {
		paint.EnableColor()
	} else {
		paint.DisableColor()
	}
	return paint
}

// truth of a variable that says yes or no; empty where it says neither.
func truth(name string) string {
	value, err := strconv.ParseBool(os.Getenv(name))
	if err != nil {
		return ""
	}
	return strconv.FormatBool(value)
}

func (t *Terminal) words() io.Writer {
	if t.JSON {
		return t.err
	}
	return t.out
}

// Name paints the name of something.
func (t *Terminal) Name(name string) string { return t.name.Sprint(Printable(name)) }

// Say writes a line.
func (t *Terminal) Say(format string, args ...any) {
	t.EndLive()
	fmt.Fprintf(t.words(), format+"\n", args...)
}

// Warn writes a line to standard error.
func (t *Terminal) Warn(format string, args ...any) {
	t.EndLive()
	fmt.Fprintln(t.err, t.warn.Sprint("Warning: ")+Printable(fmt.Sprintf(format, args...)))
}

// OK ends what has succeeded.
func (t *Terminal) OK() { t.Say("%s", t.good.Sprint("OK")) }

// Failed ends what has not: the word on standard output, as cf does, the reason on standard error.
func (t *Terminal) Failed(lines ...string) {
	t.Say("%s", t.bad.Sprint("FAILED"))
	for _, line := range lines {
		fmt.Fprintln(t.err, Printable(line))
	}
}

// Document writes the one document of standard output; nothing unless JSON is wanted.
func (t *Terminal) Document(document any) error {
	if !t.JSON {
		return nil
	}
	t.EndLive()
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	_, err = t.out.Write(append(text, '\n'))
	return err
}

// ErrNoAnswer says that a question was asked where nobody could answer it.
var ErrNoAnswer = errors.New("nobody has answered: -f asks nothing")

// Confirm asks whether to go on. Anything but y or yes is a no; an end of the input is ErrNoAnswer.
func (t *Terminal) Confirm(question string) (bool, error) {
	t.EndLive()
	fmt.Fprintf(t.words(), "%s [yN]: ", question)
	answer, err := t.in.ReadString('\n')
	if err != nil && strings.TrimSpace(answer) == "" {
		fmt.Fprintln(t.words())
		return false, ErrNoAnswer
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// Printable keeps what others have written (errors, names) from steering the terminal.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !strconv.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
