package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAnOperationIsFollowedToItsEnd(t *testing.T) {
	answers := []string{
		`503 {"code": "stopping", "detail": "the broker stops"}`, `200 {"id": "o", "state": "running", "phase": "dumping"}`,
		`502 `, `200 {"id": "o", "state": "succeeded", "result": {"backup_name": "b"}}`,
	}
	client := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		status, body, _ := strings.Cut(answers[0], " ")
		answers = answers[1:]
		code := 0
		_, _ = fmt.Sscan(status, &code)
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	})
	client.Wait = Patience{First: time.Millisecond, Most: time.Millisecond, Away: time.Minute}
	var phases []string
	begun := Read[Operation]{Value: Operation{ID: "o", State: "queued"}}
	ended, err := client.Until(context.Background(), begun, func(o Operation) { phases = append(phases, o.State+o.Phase) })
	if err != nil || ended.Value.State != "succeeded" || strings.Join(phases, ",") != "queued,runningdumping,succeeded" {
		t.Errorf("got %v, %v, %v", ended.Value.State, phases, err)
	}
}

func TestAnOperationThatIsNotTheUsersAnyMoreIsOutOfSight(t *testing.T) {
	client := clientOf(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	client.Wait = Patience{First: time.Millisecond, Most: time.Millisecond, Away: time.Minute}
	_, err := client.Until(context.Background(), Read[Operation]{Value: Operation{ID: "o", State: "running"}}, func(Operation) {})
	var lost *LostSight
	if !errors.As(err, &lost) || lost.ID != "o" {
		t.Errorf("got %v", err)
	}
}
