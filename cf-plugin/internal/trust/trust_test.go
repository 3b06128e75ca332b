package trust

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func address(t *testing.T, text string) *url.URL {
	t.Helper()
	parsed, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestWhereTheTokenMayGo(t *testing.T) {
	const api = "https://api.sys.example.com"
	cases := []struct {
		what, api, broker string
		hosts             []string
		insecure          bool
		refusal           string
	}{
		{what: "a host of the system domain", api: api, broker: "https://backups.sys.example.com"},
		{what: "one further below it", api: api, broker: "https://a.b.sys.example.com/path"},
		{what: "the API's own host", api: api, broker: "https://api.sys.example.com:8443"},
		{what: "letters of either case", api: api, broker: "https://Backups.SYS.example.com"},
		{what: "a final dot", api: api, broker: "https://backups.sys.example.com."},
		{what: "a host beside the domain", api: api, broker: "https://backups.apps.example.com", refusal: "cf trust-pg-broker backups.apps.example.com"},
		{what: "one that the user trusts", api: api, broker: "https://backups.example.org", hosts: []string{"backups.example.org"}},
		{what: "one below a trusted one", api: api, broker: "https://evil.backups.example.org", hosts: []string{"backups.example.org"}, refusal: "trust-pg-broker"},
		{what: "one that only ends like the domain", api: api, broker: "https://evilsys.example.com", refusal: "trust-pg-broker"},
		{what: "one that has the domain in its middle", api: api, broker: "https://sys.example.com.evil.org", refusal: "trust-pg-broker"},
		{what: "a user in front of the host", api: api, broker: "https://api.sys.example.com@evil.org", refusal: "no address of a broker"},
		{what: "plain http", api: api, broker: "http://backups.sys.example.com", refusal: "not https"},
		{what: "plain http that the user wants", api: api, broker: "http://backups.sys.example.com", insecure: true},
		{what: "plain http to a stranger that the user wants", api: api, broker: "http://evil.org", insecure: true, refusal: "trust-pg-broker"},
		{what: "another scheme", api: api, broker: "ftp://backups.sys.example.com", insecure: true, refusal: "not https"},
		{what: "this machine, for an API elsewhere", api: api, broker: "http://127.0.0.1:8080", refusal: "trust-pg-broker"},
		{what: "this machine, for an API of this machine", api: "http://127.0.0.1:1234", broker: "http://localhost:8080"},
		{what: "no host", api: api, broker: "https:///path", refusal: "no address of a broker"},
		{what: "an API of two labels: its domain is everybody's", api: "https://api.com", broker: "https://evil.com", refusal: "trust-pg-broker"},
		{what: "an API with another first label", api: "https://cf.example.com", broker: "https://evil.example.com", refusal: "trust-pg-broker"},
		{what: "a capital I with a dot", api: "https://api.site.example.com", broker: "https://backups.s\u0130te.example.com", refusal: "letters than those of ASCII"},
		{what: "the same in percents", api: "https://api.site.example.com", broker: "https://backups.s%C4%B0te.example.com", refusal: "letters than those of ASCII"},
		{what: "the sign of kelvin", api: "https://api.kite.example.com", broker: "https://backups.\u212Aite.example.com", refusal: "letters than those of ASCII"},
		{what: "such a letter of the API", api: "https://api.s\u0130te.example.com", broker: "https://backups.site.example.com", refusal: "trust-pg-broker"},
		{what: "such a letter of a trusted host", api: api, broker: "https://s\u0130te.example.org", hosts: []string{"site.example.org"}, refusal: "letters than those of ASCII"},
		{what: "such letters in their form of ASCII", api: api, broker: "https://xn--bcher-kva.sys.example.com"},
		{what: "an API by its number", api: "https://10.0.0.1", broker: "https://20.0.0.1", refusal: "trust-pg-broker"},
	}
	for _, each := range cases {
		t.Run(each.what, func(t *testing.T) {
			rule := Rule{API: address(t, each.api), Hosts: each.hosts, InsecureHTTP: each.insecure}
			err := rule.Check(address(t, each.broker))
			if each.refusal == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if each.refusal != "" && (err == nil || !strings.Contains(err.Error(), each.refusal)) {
				t.Errorf("expected a refusal with %q, got %v", each.refusal, err)
			}
		})
	}
}

func TestHostsThatCanBeTrusted(t *testing.T) {
	for given, expected := range map[string]string{
		"Backups.Example.org": "backups.example.org", "backups.example.org.": "backups.example.org", "127.0.0.1": "127.0.0.1",
		"https://backups.example.org": "", "backups.example.org:8443": "", "backups.example.org/x": "", "*.example.org": "", "": "", "a b": "", "u@h": "",
		"s\u0130te.example.org": "", "\u212Aite.example.org": "", "s%C4%B0te.example.org": "", "xn--bcher-kva.example.org": "xn--bcher-kva.example.org",
	} {
		host, err := Host(given)
		if host != expected || (err == nil) != (expected != "") {
			t.Errorf("%q: got %q, %v", given, host, err)
		}
	}
}

func TestTrustedHostsAreKept(t *testing.T) {
	home := t.TempDir()
	t.Setenv("CF_HOME", home)
	store, err := OpenStore()
	if err != nil {
		t.Fatal(err)
	}
	one, other := address(t, "https://api.one.example.com"), address(t, "https://api.other.example.com")
	for _, host := range []string{"b.example.org", "a.example.org", "a.example.org"} {
		if err := store.Add(one, host); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Remove(one, "b.example.org"); err != nil {
		t.Fatal(err)
	}
	hosts, err := store.Hosts(one)
	if err != nil || !slices.Equal(hosts, []string{"a.example.org"}) {
		t.Errorf("got %v, %v", hosts, err)
	}
	if hosts, _ := store.Hosts(other); len(hosts) != 0 {
		t.Errorf("another API's hosts: %v", hosts)
	}
	files, _ := filepath.Glob(filepath.Join(home, ".cf", "*"))
	if len(files) != 1 {
		t.Fatalf("files: %v", files)
	}
	if info, _ := os.Stat(files[0]); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}
