package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
)

// Store keeps the hosts that the user has allowed, for each API by itself, beside cf's own configuration.
type Store struct{ file string }

// OpenStore is the one of CF_HOME, else of the user's home.
func OpenStore() (*Store, error) {
	home := os.Getenv("CF_HOME")
	if home == "" {
		found, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("there is no home to keep trusted brokers in: %w", err)
		}
		home = found
	}
	return &Store{filepath.Join(home, ".cf", "pg-backup-trusted-hosts.json")}, nil
}

// Hosts that are trusted with tokens of this API.
func (s *Store) Hosts(api *url.URL) ([]string, error) {
	all, err := s.read()
	return all[api.String()], err
}

// Add allows a host.
func (s *Store) Add(api *url.URL, host string) error {
	return s.change(api, func(hosts []string) []string {
		if slices.Contains(hosts, host) {
			return hosts
		}
		return append(hosts, host)
	})
}

// Remove takes it back.
func (s *Store) Remove(api *url.URL, host string) error {
	return s.change(api, func(hosts []string) []string {
		return slices.DeleteFunc(hosts, func(each string) bool { return each == host })
	})
}

func (s *Store) change(api *url.URL, change func([]string) []string) error {
	all, err := s.read()
	if err != nil {
		return err
	}
	all[api.String()] = change(all[api.String()])
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.file), 0o700); err != nil {
		return err
	}
	// os.CreateTemp makes it 0600: who could write it could have tokens sent anywhere.
	fresh, err := os.CreateTemp(filepath.Dir(s.file), "pg-backup-")
	if err != nil {
		return err
	}
	defer os.Remove(fresh.Name())
	_, err = fresh.Write(append(text, '\n'))
	if err := errors.Join(err, fresh.Sync(), fresh.Close()); err != nil {
		return err
	}
	return os.Rename(fresh.Name(), s.file)
}

func (s *Store) read() (map[string][]string, error) {
	all := map[string][]string{}
	text, err := os.ReadFile(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", s.file, err)
	}
	return all, nil
}
