package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Refusal is an answer that is no success, with what it says.
type Refusal struct {
	Status int
	// Code is the broker's word for it; empty where another one answers.
	Code   string
	Detail string
	// Document is all that the answer says, if it is JSON.
	Document   map[string]any
	RetryAfter time.Duration
}

func (r *Refusal) Error() string { return r.Detail }

// refusal understands problem+json (RFC 9457) and the Cloud Controller's lists of errors.
func (c *Client) refusal(response *http.Response, body []byte) error {
	refusal := &Refusal{Status: response.StatusCode, RetryAfter: RetryAfter(response.Header)}
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		refusal.Detail = fmt.Sprintf("%s sends elsewhere (to %q): not followed, since your token would go there",
			c.Peer, response.Header.Get("Location"))
		return refusal
	}
	_ = json.Unmarshal(body, &refusal.Document)
	refusal.Code, _ = refusal.Document["code"].(string)
	refusal.Detail, _ = refusal.Document["detail"].(string)
	if listed := controllerErrors(body); refusal.Detail == "" && listed != "" {
		refusal.Detail = fmt.Sprintf("%s: %s", c.Peer, listed)
	}
	if refusal.Detail == "" {
		refusal.Detail = fmt.Sprintf("%s answers %s", c.Peer, response.Status)
	}
	if response.StatusCode == http.StatusUnauthorized {
		refusal.Detail += fmt.Sprintf(" (%s does not accept your token; 'cf login' makes a new one)", c.Peer)
	}
	return refusal
}

func controllerErrors(body []byte) string {
	var document struct {
		Errors []struct{ Detail string } `json:"errors"`
	}
	if json.Unmarshal(body, &document) != nil {
		return ""
	}
	details := make([]string, 0, len(document.Errors))
	for _, each := range document.Errors {
		details = append(details, each.Detail)
	}
	return strings.Join(details, "; ")
}
