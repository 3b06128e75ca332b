// Package trust decides where the user's token may go: any developer can register a broker in a space, and its catalog
// names the address that the token would be sent to.
package trust

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Rule is what holds for one login.
type Rule struct {
	API *url.URL
	// Hosts that the user has allowed.
	Hosts []string
	// InsecureHTTP allows plain HTTP to hosts other than this machine's own.
	InsecureHTTP bool
}

// Check says why the token may not be sent to an address; nil where it may.
func (r Rule) Check(address *url.URL) error {
	host := hostOf(address)
	if host == "" || address.User != nil {
		return fmt.Errorf("%q is no address of a broker: expected https://HOST", address.Redacted())
	}
	if !ascii(host) {
		return fmt.Errorf("the broker's host %q has other letters than those of ASCII, by which it could pass for another one: "+
			"your token is not sent there", host)
	}
	if address.Scheme != "https" && !(address.Scheme == "http" && (loopback(host) || r.InsecureHTTP)) {
		return fmt.Errorf("the broker's address %s is not https: your token could be read on its way "+
			"(--insecure-http sends it all the same)", address.Redacted())
	}
	if r.near(host) || slices.Contains(r.Hosts, host) {
		return nil
	}
	return fmt.Errorf("the broker is at %s, which is not under the domain of the API (%s): your token is not sent there. "+
		"If you know that host to be the broker's: cf trust-pg-broker %s", host, hostOf(r.API), host)
}

// near: the API's own host, or one of its system domain, which is the API's host without its first label.
func (r Rule) near(host string) bool {
	api := hostOf(r.API)
	if host == api || loopback(host) && loopback(api) {
		return true
	}
	domain, found := strings.CutPrefix(api, "api.")
	return found && net.ParseIP(api) == nil && strings.Contains(domain, ".") && strings.HasSuffix(host, "."+domain)
}

// Host checks what a user gives as a host's name.
func Host(given string) (string, error) {
	host := lower(strings.TrimSuffix(given, "."))
	if !ascii(host) {
		return "", fmt.Errorf("%q has other letters than those of ASCII: expected the form that begins with xn--", given)
	}
	address, err := url.Parse("https://" + host)
	if err != nil || host == "" || address.Host != host || address.Port() != "" || strings.ContainsAny(host, "*@ ") {
		return "", fmt.Errorf("%q is no host: expected its name alone, such as broker.example.com", given)
	}
	return address.Hostname(), nil
}

func hostOf(address *url.URL) string {
	return lower(strings.TrimSuffix(address.Hostname(), "."))
}

// lower changes the letters of ASCII only: Unicode has others whose small ones are those of ASCII, but HTTP clients
// turn a host that has them into another name (UTS #46).
func lower(host string) string {
	letters := []byte(host)
	for i, letter := range letters {
		if 'A' <= letter && letter <= 'Z' {
			letters[i] = letter + 'a' - 'A'
		}
	}
	return string(letters)
}

func ascii(host string) bool {
	return strings.IndexFunc(host, func(letter rune) bool { return letter > unicode.MaxASCII }) < 0
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
