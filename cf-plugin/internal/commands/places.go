package commands

import (
	"context"
	"slices"

	"postgresql-broker/cf-plugin/internal/broker"
	"postgresql-broker/cf-plugin/internal/session"
	"postgresql-broker/cf-plugin/internal/trust"
)

var storagesCommand = Command{
	Name:      "pg-storages",
	Help:      "List where backups can be kept",
	Arguments: "[--json]",
	Examples:  []string{""},
	new:       func() runner { return &storages{} },
}

type storages struct{ everywhere }

func (o *storages) run(ctx context.Context, env *Env) error {
	r, err := env.anyBroker(ctx, o.everywhere)
	if err != nil {
		return err
	}
	env.Say("Getting storages %s...", r.where)
	listed, err := r.Storages(ctx)
	if err != nil {
		return err
	}
	env.Say("")
	env.storages(listed.Value.Storages)
	for _, each := range listed.Value.Storages {
		if each.Error != nil {
			env.Warn("storage %s: %s", each.Name, each.Error.Detail)
		}
	}
	return env.Document(listed.Raw)
}

// storages are shown with what the user may know of them: only admins see their state.
func (e *Env) storages(all []broker.Storage) {
	headers := []string{"name", "type"}
	known := slices.ContainsFunc(all, func(each broker.Storage) bool { return each.Reachable != nil })
	if known {
		headers = append(headers, "state", "free")
	}
	rows := make([][]string, 0, len(all))
	for _, each := range all {
		row := []string{each.Name, each.Type}
		if known {
			row = append(row, stateOf(each), sizeOf(each.FreeBytes))
		}
		rows = append(rows, row)
	}
	e.Table(headers, rows)
}

func stateOf(storage broker.Storage) string {
	switch {
	case storage.Reachable == nil:
		return ""
	case *storage.Reachable:
		return "reachable"
	}
	return "not reachable"
}

var trustCommand = Command{
	Name:      "trust-pg-broker",
	Help:      "Allow your token to be sent to a broker's host, or list such hosts",
	Arguments: "[HOST] [--remove] [--json]",
	Notes: "A broker under the domain of the API needs no such word. It holds for the API that cf is logged in to, and is\n" +
		"kept beside cf's configuration. Ask the operators of the platform before you trust a host.",
	Examples: []string{"", "backups.example.org", "backups.example.org --remove"},
	new:      func() runner { return &trustHost{} },
}

type trustHost struct {
	JSON       bool `long:"json" description:"Write one JSON document to standard output, everything else to standard error"`
	Remove     bool `long:"remove" description:"Trust it no longer"`
	Positional struct {
		Host string `positional-arg-name:"HOST"`
	} `positional-args:"yes"`
}

func (o *trustHost) wantsJSON() bool { return o.JSON }

func (o *trustHost) run(_ context.Context, env *Env) error {
	login, err := session.Open(env.CLI)
	if err != nil {
		return err
	}
	store, err := env.OpenTrust()
	if err != nil {
		return err
	}
	if o.Positional.Host != "" {
		if err := o.change(env, store, login); err != nil {
			return err
		}
	}
	hosts, err := store.Hosts(login.API)
	if err != nil {
		return err
	}
	slices.Sort(hosts)
	if o.Positional.Host == "" {
		env.Say("Trusted with tokens of %s, beside its own domain:", login.API)
		for _, host := range hosts {
			env.Say("   %s", env.Name(host))
		}
	}
	return env.Document(map[string]any{"api": login.API.String(), "trusted_hosts": append([]string{}, hosts...)})
}

func (o *trustHost) change(env *Env, store *trust.Store, login *session.Session) error {
	host, err := trust.Host(o.Positional.Host)
	if err != nil {
		return err
	}
	if o.Remove {
		env.Say("Trusting host %s no longer...", env.Name(host))
		err = store.Remove(login.API, host)
	} else {
		env.Say("Trusting host %s with tokens of %s...", env.Name(host), login.API)
		err = store.Add(login.API, host)
	}
	if err == nil {
		env.OK()
	}
	return err
}
