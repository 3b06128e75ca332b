package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"postgresql-broker/cf-plugin/internal/broker"
	"postgresql-broker/cf-plugin/internal/controller"
	"postgresql-broker/cf-plugin/internal/rest"
	"postgresql-broker/cf-plugin/internal/session"
	"postgresql-broker/cf-plugin/internal/trust"
)

// knownVersion is the major version of the backup API that this plugin speaks.
const knownVersion = "1"

// reach is a service instance and the broker that has it.
type reach struct {
	*broker.Client
	session    *session.Session
	controller *controller.Controller
	// guid and name of the instance; both empty for commands without one.
	guid, name string
	// given is how the user has named the instance and the broker.
	given onInstance
	named string
	// where it is, as cf says: "in org O / space S as U".
	where string
}

// instance finds a service instance and its broker.
func (e *Env) instance(ctx context.Context, options onInstance, named string) (*reach, error) {
	r, err := e.open()
	if err != nil {
		return nil, err
	}
	r.given, r.named = options, named
	found, err := r.find(ctx, named, options.GUID)
	if err != nil {
		return nil, err
	}
	err = r.locate(ctx, e, options.everywhere, found)
	return r, err
}

// anyBroker finds the broker for a command without a service instance.
func (e *Env) anyBroker(ctx context.Context, options everywhere) (*reach, error) {
	r, err := e.open()
	if err == nil {
		r.given.everywhere = options
		err = r.locate(ctx, e, options, nil)
	}
	return r, err
}

func (e *Env) open() (*reach, error) {
	login, err := session.Open(e.CLI)
	if err != nil {
		return nil, err
	}
	api := &rest.Client{
		Peer: "the Cloud Controller", Base: login.API, Token: login.Token, HTTP: e.HTTP(login.SkipTLSVerify), Pause: e.Pause,
	}
	return &reach{session: login, controller: controller.New(api), where: "as " + login.User}, nil
}

// find gives nil for an instance that the Cloud Controller does not know, or does not show: the broker has the last word.
func (r *reach) find(ctx context.Context, named string, isGUID bool) (*controller.Instance, error) {
	if isGUID {
		r.guid, r.name = named, named
		found, err := r.controller.ByGUID(ctx, named)
		if err == nil && found != nil {
			r.guid, r.name = found.GUID, found.Name
		}
		return found, err
	}
	space, err := r.session.Space()
	if err != nil {
		return nil, err
	}
	found, err := r.controller.ByName(ctx, named, space.GUID)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("service instance %s not found in org %s / space %s (--guid takes one of another space)", named, space.Org, space.Name)
	}
	r.guid, r.name = found.GUID, found.Name
	r.where = fmt.Sprintf("in org %s / space %s as %s", space.Org, space.Name, r.session.User)
	return found, nil
}

// locate finds the broker's address and decides whether the token may go there.
func (r *reach) locate(ctx context.Context, e *Env, options everywhere, of *controller.Instance) error {
	rule, err := e.rule(r.session, options)
	if err != nil {
		return err
	}
	found, err := r.candidates(ctx, options, of)
	if err != nil {
		return err
	}
	chosen, err := choose(rule, found)
	if err != nil {
		return err
	}
	r.Client = broker.New(&rest.Client{
		Peer: "the broker", Base: chosen.address, Token: r.session.Token, HTTP: e.HTTP(r.session.SkipTLSVerify),
		Pause: e.Pause,
	})
	r.Client.Wait = e.Patience
	if chosen.Version == "" && options.BackupAPI == "" {
		return r.assertBroker(ctx)
	}
	return nil
}

func (e *Env) rule(login *session.Session, options everywhere) (trust.Rule, error) {
	store, err := e.OpenTrust()
	if err != nil {
		return trust.Rule{}, err
	}
	hosts, err := store.Hosts(login.API)
	return trust.Rule{API: login.API, Hosts: hosts, InsecureHTTP: options.InsecureHTTP}, err
}

// candidates: what the user says, what the catalog says, the origin of the dashboard.
func (r *reach) candidates(ctx context.Context, options everywhere, of *controller.Instance) ([]controller.BackupAPI, error) {
	if options.BackupAPI != "" {
		return []controller.BackupAPI{{URL: options.BackupAPI}}, nil
	}
	if of == nil {
		apis, err := r.controller.BackupAPIs(ctx)
		if err == nil && len(apis) == 0 {
			err = errors.New("no service of the marketplace tells where its backups are made: name the broker by --backup-api or PG_BACKUP_API")
		}
		return apis, err
	}
	api, err := r.controller.BackupAPIOf(ctx, of)
	if err != nil {
		return nil, err
	}
	if api != nil && api.URL != "" {
		return []controller.BackupAPI{*api}, nil
	}
	if dashboard, err := url.Parse(of.DashboardURL); err == nil && dashboard.Host != "" {
		return []controller.BackupAPI{{URL: dashboard.Scheme + "://" + dashboard.Host}}, nil
	}
	return nil, fmt.Errorf("the service of %s does not tell where its backups are made: if it is a PostgreSQL of this broker, name the broker by --backup-api or PG_BACKUP_API", of.Name)
}

// candidate is a backup API whose address can be read.
type candidate struct {
	controller.BackupAPI
	address *url.URL
}

// choose takes the only one that the token may go to.
func choose(rule trust.Rule, candidates []controller.BackupAPI) (candidate, error) {
	var allowed []candidate
	var refused error
	for _, api := range candidates {
		address, err := url.Parse(api.URL)
		if err != nil {
			err = fmt.Errorf("the address of the broker cannot be read: %w", err)
		} else {
			err = errors.Join(rule.Check(address), speaks(api.Version))
		}
		if err == nil {
			allowed = append(allowed, candidate{api, address})
		} else if refused == nil {
			refused = err
		}
	}
	if len(allowed) == 1 {
		return allowed[0], nil
	}
	if len(allowed) == 0 {
		return candidate{}, refused
	}
	names := make([]string, len(allowed))
	for i, each := range allowed {
		names[i] = each.address.String()
	}
	return candidate{}, fmt.Errorf("several brokers make backups: choose one by --backup-api (%s)", strings.Join(names, ", "))
}

func speaks(version string) error {
	major, _, _ := strings.Cut(version, ".")
	if version == "" || major == knownVersion {
		return nil
	}
	return fmt.Errorf("the broker's backup API has version %s, this plugin speaks %s: install a newer plugin", version, knownVersion)
}

// assertBroker asks, without the token, whether an address that only a dashboard has named is that of such a broker.
func (r *reach) assertBroker(ctx context.Context) error {
	anonymous := *r.REST
	anonymous.Token = nil
	response, err := anonymous.Send(ctx, rest.Call{Method: http.MethodGet, Path: "/openapi.json"})
	if err == nil {
		defer response.Body.Close()
		var description struct {
			Paths map[string]json.RawMessage `json:"paths"`
		}
		err = json.NewDecoder(io.LimitReader(response.Body, 16<<20)).Decode(&description)
		if _, has := description.Paths["/backup_instance/{instance_id}"]; err == nil && has {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("%s is no broker that makes backups of PostgreSQL", r.REST.Base), err)
}
