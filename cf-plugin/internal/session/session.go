// Package session knows who is logged in to cf, and where.
package session

import (
	"errors"
	"fmt"
	"net/url"

	plugin_models "code.cloudfoundry.org/cli/plugin/models"
)

// CLI is all that is asked of cf: what it also answers with a Cloud Controller that has no API v2 any more.
type CLI interface {
	ApiEndpoint() (string, error)
	IsLoggedIn() (bool, error)
	IsSSLDisabled() (bool, error)
	AccessToken() (string, error)
	Username() (string, error)
	HasSpace() (bool, error)
	GetCurrentOrg() (plugin_models.Organization, error)
	GetCurrentSpace() (plugin_models.Space, error)
}

// Session is the login that cf keeps.
type Session struct {
	cli CLI
	// API is the address of the Cloud Controller.
	API *url.URL
	// SkipTLSVerify is what the user has chosen by cf api --skip-ssl-validation.
	SkipTLSVerify bool
	User          string
}

// Space is where service instances are looked for by name.
type Space struct {
	GUID, Name, Org string
}

// ErrLoggedOut says that cf has no login to work with.
var ErrLoggedOut = errors.New("not logged in: use 'cf login' or 'cf auth'")

// Open reads the login. It fails where nobody is logged in.
func Open(cli CLI) (*Session, error) {
	if in, err := cli.IsLoggedIn(); err != nil || !in {
		return nil, errors.Join(ErrLoggedOut, err)
	}
	endpoint, err := cli.ApiEndpoint()
	if err != nil {
		return nil, fmt.Errorf("cf does not say which API it talks to: %w", err)
	}
	api, err := url.Parse(endpoint)
	if err != nil || api.Host == "" {
		return nil, fmt.Errorf("no API endpoint set: use 'cf api' (cf has %q)", endpoint)
	}
	skip, err := cli.IsSSLDisabled()
	if err != nil {
		return nil, fmt.Errorf("cf does not say whether certificates are checked: %w", err)
	}
	user, err := cli.Username()
	if err != nil {
		return nil, fmt.Errorf("cf does not say who is logged in: %w", err)
	}
	return &Session{cli: cli, API: api, SkipTLSVerify: skip, User: user}, nil
}

// Token is the value of an Authorization header, good for the next minute: cf renews it where less is left. It is
// asked for before every request.
func (s *Session) Token() (string, error) {
	token, err := s.cli.AccessToken()
	if err != nil {
		return "", fmt.Errorf("the login has run out, log in again with 'cf login' or 'cf auth': %w", err)
	}
	if token == "" {
		return "", ErrLoggedOut
	}
	return token, nil
}

// Space is the targeted one.
func (s *Session) Space() (Space, error) {
	if has, err := s.cli.HasSpace(); err != nil || !has {
		return Space{}, errors.Join(errors.New("no org and space targeted: use 'cf target -o ORG -s SPACE'"), err)
	}
	org, err := s.cli.GetCurrentOrg()
	if err != nil {
		return Space{}, fmt.Errorf("cf does not say which org is targeted: %w", err)
	}
	space, err := s.cli.GetCurrentSpace()
	if err != nil {
		return Space{}, fmt.Errorf("cf does not say which space is targeted: %w", err)
	}
	return Space{GUID: space.Guid, Name: space.Name, Org: org.Name}, nil
}
