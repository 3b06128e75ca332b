package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	plugin_models "code.cloudfoundry.org/cli/plugin/models"

	"postgresql-broker/cf-plugin/internal/broker"
	"postgresql-broker/cf-plugin/internal/rest"
	"postgresql-broker/cf-plugin/internal/terminal"
	"postgresql-broker/cf-plugin/internal/trust"
)

// cli stands in for cf.
type cli struct {
	api       string
	loggedOut bool
	noSpace   bool
}

func (c cli) ApiEndpoint() (string, error) { return c.api, nil }
func (c cli) IsLoggedIn() (bool, error)    { return !c.loggedOut, nil }
func (cli) IsSSLDisabled() (bool, error)   { return false, nil }
func (cli) AccessToken() (string, error)   { return "bearer secret", nil }
func (cli) Username() (string, error)      { return "dev", nil }
func (c cli) HasSpace() (bool, error)      { return !c.noSpace, nil }
func (cli) GetCurrentOrg() (plugin_models.Organization, error) {
	return plugin_models.Organization{OrganizationFields: plugin_models.OrganizationFields{Name: "org"}}, nil
}
func (cli) GetCurrentSpace() (plugin_models.Space, error) {
	return plugin_models.Space{SpaceFields: plugin_models.SpaceFields{Guid: "space-guid", Name: "space"}}, nil
}

// world is a Cloud Controller and a broker that answer what a test says, by method and path.
type world struct {
	t              *testing.T
	controller     *httptest.Server
	broker         *httptest.Server
	answers        map[string]string
	asked          []string
	stdin          string
	cli            cli
	stdout, stderr string
	env            *Env
	// partings are what an interrupted command would have said at each request.
	partings map[string]string
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, answers: map[string]string{}, partings: map[string]string{}}
	t.Setenv("CF_HOME", t.TempDir())
	t.Setenv("PG_BACKUP_API", "")
	w.controller = httptest.NewServer(http.HandlerFunc(w.answer))
	w.broker = httptest.NewServer(http.HandlerFunc(w.answer))
	t.Cleanup(w.controller.Close)
	t.Cleanup(w.broker.Close)
	w.cli = cli{api: w.controller.URL}
	w.answers["GET /v3/service_instances"] = `{"resources": [{"guid": "g", "name": "my-db", "type": "managed",
		"relationships": {"service_plan": {"data": {"guid": "p"}}}}]}`
	w.answers["GET /v3/service_plans/p"] = `{"relationships": {"service_offering": {"data": {"guid": "o"}}}}`
	w.offer(w.broker.URL, "1.0")
	return w
}

func (w *world) offer(url, version string) {
	offering := fmt.Sprintf(`{"name": "postgresql", "broker_catalog": {"metadata": {"backupApi": {"url": %q, "version": %q}}}}`, url, version)
	w.answers["GET /v3/service_offerings/o"] = offering
	w.answers["GET /v3/service_offerings"] = `{"pagination": {"total_pages": 1}, "resources": [` + offering + `]}`
}

func (w *world) answer(out http.ResponseWriter, in *http.Request) {
	asked := in.Method + " " + in.URL.EscapedPath()
	full := asked
	if in.URL.RawQuery != "" {
		full += "?" + in.URL.RawQuery
	}
	if in.Header.Get("Authorization") == "" {
		full += " (no token)"
	}
	w.asked = append(w.asked, full)
	_, _ = io.Copy(io.Discard, in.Body)
	w.partings[asked] = w.env.Parting()
	answer, known := w.answers[asked]
	if !known {
		out.WriteHeader(http.StatusNotFound)
		fmt.Fprint(out, `{"code": "not_found", "detail": "not found"}`)
		return
	}
	if status, body, found := strings.Cut(answer, "|"); found && len(status) == 3 {
		code := 0
		_, _ = fmt.Sscan(status, &code)
		out.WriteHeader(code)
		answer = body
	}
	fmt.Fprint(out, answer)
}

// run gives the exit code of a command line.
func (w *world) run(line string) int { return w.runWith(strings.Fields(line)...) }

func (w *world) runWith(args ...string) int {
	var out, err bytes.Buffer
	env := &Env{
		CLI: w.cli,
		OpenTerminal: func(json bool) *terminal.Terminal {
			return terminal.New(strings.NewReader(w.stdin), &out, &err, terminal.Options{JSON: json})
		},
		HTTP:      rest.NewHTTP,
		OpenTrust: trust.OpenStore,
		Now:       func() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) },
		Patience:  broker.Patience{First: time.Millisecond, Most: time.Millisecond},
		Pause:     func(context.Context, time.Duration) error { return nil },
	}
	w.asked, w.env = nil, env
	code := Run(context.Background(), env, args)
	w.stdout, w.stderr = out.String(), err.String()
	return code
}

func (w *world) expect(line string, code int, stdout, stderr string) {
	w.t.Helper()
	if got := w.run(line); got != code {
		w.t.Errorf("%s: exit code %d\n%s\n%s", line, got, w.stdout, w.stderr)
	}
	if !strings.Contains(w.stdout, stdout) {
		w.t.Errorf("%s: expected %q on standard output, got\n%s\nand\n%s", line, stdout, w.stdout, w.stderr)
	}
	if !strings.Contains(w.stderr, stderr) {
		w.t.Errorf("%s: expected %q on standard error, got\n%s", line, stderr, w.stderr)
	}
}

func (w *world) document() map[string]any {
	w.t.Helper()
	var document map[string]any
	if err := json.Unmarshal([]byte(w.stdout), &document); err != nil {
		w.t.Fatalf("standard output is no JSON document: %v\n%s", err, w.stdout)
	}
	return document
}

func (w *world) sent(request string) bool {
	for _, each := range w.asked {
		if strings.HasPrefix(each, request) {
			return true
		}
	}
	return false
}

const (
	first  = `{"instance_id": "g", "backup_name": "20261124-a", "storage": "local", "state": "available", "origin": "backup", "created_at": "2026-11-24T12:00:00Z", "size_bytes": 2048, "sha256": "aa"}`
	second = `{"instance_id": "g", "backup_name": "20261124-b", "storage": "s3", "state": "missing", "origin": "upload", "created_at": "2026-11-23T12:00:00Z", "size_bytes": 3, "sha256": "bb"}`
)

func (w *world) hasBackups() {
	w.answers["GET /backups/g"] = `{"backups": [` + first + `, ` + second + `], "warnings": [{"storage": "s3", "code": "storage_unreachable", "detail": "no route"}]}`
	w.answers["GET /backups/g/20261124-a"] = first
	w.answers["GET /backups/g/20261124-b"] = second
	w.answers["GET /backups/g/latest"] = first
}
