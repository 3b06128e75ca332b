package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func clientOf(t *testing.T, handler http.HandlerFunc) (*Client, *[]time.Duration) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	base, _ := url.Parse(server.URL)
	pauses := &[]time.Duration{}
	drawn := 0
	return &Client{
		Peer: "the broker", Base: base, HTTP: NewHTTP(false),
		Token: func() (string, error) { drawn++; return fmt.Sprintf("bearer %d", drawn), nil },
		Pause: func(_ context.Context, pause time.Duration) error { *pauses = append(*pauses, pause); return nil },
	}, pauses
}

func TestSafeCallsAreSentAgainWithAFreshToken(t *testing.T) {
	var tokens []string
	client, pauses := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.Header.Get("Authorization"))
		if len(tokens) < 3 {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"name": "found"}`)
	})
	var found struct{ Name string }
	if err := client.Get(context.Background(), "/thing", nil, &found); err != nil || found.Name != "found" {
		t.Fatalf("got %v, %v", found, err)
	}
	if strings.Join(tokens, ",") != "bearer 1,bearer 2,bearer 3" {
		t.Errorf("tokens: %v", tokens)
	}
	if len(*pauses) != 2 || (*pauses)[0] != 7*time.Second {
		t.Errorf("pauses: %v", *pauses)
	}
}

func TestCallsThatChangeSomethingAreSentOnce(t *testing.T) {
	sent := 0
	client, _ := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		sent++
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if _, _, err := client.Read(context.Background(), Call{Method: http.MethodPost, Path: "/thing"}); err == nil || sent != 1 {
		t.Errorf("sent %d times: %v", sent, err)
	}
}

func TestRefusalsOfTheBrokerAreFinal(t *testing.T) {
	for _, status := range []int{400, 404, 409, 422, 502} {
		sent := 0
		client, _ := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
			sent++
			w.WriteHeader(status)
			fmt.Fprint(w, `{"code": "storage_denied", "detail": "the key is wrong", "request_id": "r"}`)
		})
		_, _, err := client.Read(context.Background(), Call{Method: http.MethodGet, Path: "/thing"})
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Code != "storage_denied" || refusal.Error() != "the key is wrong" || sent != 1 {
			t.Errorf("%d: sent %d times: %v", status, sent, err)
		}
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the stranger was called") }))
	defer stranger.Close()
	client, _ := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, stranger.URL, http.StatusTemporaryRedirect)
	})
	_, _, err := client.Read(context.Background(), Call{Method: http.MethodGet, Path: "/thing"})
	if err == nil || !strings.Contains(err.Error(), "not followed") {
		t.Errorf("got %v", err)
	}
}

func TestABodyThatStandsStillIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	client, _ := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"half": `)
		w.(http.Flusher).Flush()
		<-release
	})
	defer close(release)
	client.Silence = 50 * time.Millisecond
	_, _, err := client.readOnce(context.Background(), Call{Method: http.MethodGet, Path: "/thing"})
	if err == nil || !strings.Contains(err.Error(), "nothing came for 50ms") || !Temporary(err) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNoJSONIsNotTakenForSuccess(t *testing.T) {
	client, _ := clientOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") })
	if err := client.Get(context.Background(), "/thing", nil, &struct{}{}); err == nil || !strings.Contains(err.Error(), "no JSON") {
		t.Errorf("got %v", err)
	}
}

func TestErrorsOfTheCloudController(t *testing.T) {
	client, _ := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"errors": [{"code": 1000, "title": "CF-InvalidAuthToken", "detail": "Invalid Auth Token"}]}`)
	})
	err := client.Get(context.Background(), "/v3/thing", nil, &struct{}{})
	if err == nil || !strings.Contains(err.Error(), "Invalid Auth Token") || !strings.Contains(err.Error(), "cf login") {
		t.Errorf("got %v", err)
	}
}

func TestNobodyThereIsTemporaryAndNothingWasSent(t *testing.T) {
	client, pauses := clientOf(t, func(http.ResponseWriter, *http.Request) {})
	client.Base, _ = url.Parse("http://127.0.0.1:1")
	err := client.Get(context.Background(), "/thing", nil, &struct{}{})
	var unreachable *Unreachable
	if !errors.As(err, &unreachable) || unreachable.Sent || len(*pauses) != mostTries-1 {
		t.Errorf("got %v after %v", err, *pauses)
	}
}

func TestCertificatesAreCheckedUnlessTheUserHasChosenOtherwise(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer server.Close()
	base, _ := url.Parse(server.URL)
	for _, skip := range []bool{false, true} {
		client := &Client{Peer: "the broker", Base: base, HTTP: NewHTTP(skip)}
		_, _, err := client.readOnce(context.Background(), Call{Method: http.MethodGet, Path: "/"})
		if (err == nil) != skip {
			t.Errorf("skipping validation %v: %v", skip, err)
		}
	}
}
