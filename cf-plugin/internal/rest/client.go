// Package rest calls JSON APIs as the logged-in user.
package rest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	// How long a peer may take to be reached, and to begin its answer once it has the whole request. Bodies may take
	// as long as they like, if only something comes now and then.
	connectTimeout = 15 * time.Second
	answerTimeout  = 2 * time.Minute
	// Silence is how long a body may stand still before its connection is given up.
	Silence = time.Minute
	// What an API's own documents may measure.
	largestDocument = 64 << 20
)

// Client calls one peer.
type Client struct {
	// Peer is how errors name the other side.
	Peer string
	Base *url.URL
	// Token gives the Authorization header of the next request; nil sends none.
	Token func() (string, error)
	HTTP  *http.Client
	// Pause waits between tries; nil: by the clock.
	Pause func(context.Context, time.Duration) error
	// Silence of a body that is too long; zero: the package's.
	Silence time.Duration
}

// Call is one request. Path begins with a slash; its parts are already escaped.
type Call struct {
	Method, Path string
	Query        url.Values
	Header       http.Header
	Body         io.Reader
	Length       int64
}

// NewHTTP makes a client that follows no redirect: whoever names another place would be sent the token.
func NewHTTP(skipTLSVerify bool) *http.Client {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   connectTimeout,
		ResponseHeaderTimeout: answerTimeout,
		// A broker says when it wants a body; it may have others to receive first.
		ExpectContinueTimeout: 10 * time.Minute,
		IdleConnTimeout:       30 * time.Second,
		DisableCompression:    true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: skipTLSVerify},
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Send sends one request once. Any answer but a success is a *Refusal. The caller closes the body.
func (c *Client) Send(ctx context.Context, call Call) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := c.request(ctx, call)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		defer cancel(nil)
		return nil, c.unreachable(ctx, err)
	}
	silence := c.Silence
	if silence == 0 {
		silence = Silence
	}
	response.Body = watch(response.Body, silence, cancel)
	if response.StatusCode >= 200 && response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, largestDocument))
	return nil, c.refusal(response, body)
}

func (c *Client) request(ctx context.Context, call Call) (*http.Request, error) {
	target := c.Base.Scheme + "://" + c.Base.Host + trimSlash(c.Base.EscapedPath()) + call.Path
	if len(call.Query) > 0 {
		target += "?" + call.Query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, call.Method, target, call.Body)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be called: %w", c.Peer, err)
	}
	for name, values := range call.Header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", "cf-pg-backup-plugin")
	if request.Header.Get("Accept") == "" {
		request.Header.Set("Accept", "application/json")
	}
	if call.Body != nil {
		request.ContentLength = call.Length
	}
	if c.Token == nil {
		return request, nil
	}
	token, err := c.Token()
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", token)
	return request, nil
}

// Unreachable says that no answer came: the request may have been carried out all the same.
type Unreachable struct {
	Peer  string
	Sent  bool
	Cause error
}

func (e *Unreachable) Error() string { return fmt.Sprintf("%s cannot be reached: %v", e.Peer, e.Cause) }
func (e *Unreachable) Unwrap() error { return e.Cause }

func (c *Client) unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	var dial *net.OpError
	dialled := errors.As(err, &dial) && dial.Op == "dial"
	return &Unreachable{Peer: c.Peer, Sent: !dialled, Cause: err}
}

// Read sends a request and reads the whole answer. Requests that change nothing are sent again where that may help.
func (c *Client) Read(ctx context.Context, call Call) (json.RawMessage, http.Header, error) {
	tries := 1
	if call.Method == http.MethodGet {
		tries = mostTries
	}
	for try := 1; ; try++ {
		body, header, err := c.readOnce(ctx, call)
		if err == nil || try >= tries || !Temporary(err) {
			return body, header, err
		}
		if err := c.pause(ctx, pauseAfter(try, err)); err != nil {
			return nil, nil, err
		}
	}
}

func (c *Client) readOnce(ctx context.Context, call Call) (json.RawMessage, http.Header, error) {
	response, err := c.Send(ctx, call)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, largestDocument))
	if err != nil {
		return nil, nil, &Unreachable{Peer: c.Peer, Sent: true, Cause: err}
	}
	if body = bytes.TrimSpace(body); !json.Valid(body) {
		return nil, nil, fmt.Errorf("%s answers with something that is no JSON: is %s the right address?", c.Peer, c.Base)
	}
	return body, response.Header, nil
}

// Get reads a document into value.
func (c *Client) Get(ctx context.Context, path string, query url.Values, value any) error {
	body, _, err := c.Read(ctx, Call{Method: http.MethodGet, Path: path, Query: query})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fmt.Errorf("%s answers with another document than expected: %w", c.Peer, err)
	}
	return nil
}

func (c *Client) pause(ctx context.Context, duration time.Duration) error {
	if c.Pause != nil {
		return c.Pause(ctx, duration)
	}
	return Pause(ctx, duration)
}

// Pause waits, unless the context ends before.
func Pause(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func trimSlash(path string) string {
	for len(path) > 0 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	return path
}
