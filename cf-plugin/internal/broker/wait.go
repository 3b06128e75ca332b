package broker

import (
	"context"
	"errors"
	"net/http"
	"time"

	"postgresql-broker/cf-plugin/internal/rest"
)

// Patience is how often an operation is looked at, and how long the broker may be away meanwhile.
type Patience struct {
	First, Most, Away time.Duration
}

// DefaultPatience looks often at first, since most work is short.
var DefaultPatience = Patience{First: 200 * time.Millisecond, Most: 3 * time.Second, Away: 10 * time.Minute}

// LostSight says that the work goes on, as far as is known, though it cannot be watched any more.
type LostSight struct {
	ID    string
	Cause error
}

func (e *LostSight) Error() string { return e.Cause.Error() }
func (e *LostSight) Unwrap() error { return e.Cause }

// Until follows an operation to its end; observe is told whenever it was looked at.
func (c *Client) Until(ctx context.Context, operation Read[Operation], observe func(Operation)) (Read[Operation], error) {
	pause := c.Wait.First
	seen := time.Now()
	for wished := time.Duration(0); ; {
		observe(operation.Value)
		if operation.Value.Ended() {
			return operation, nil
		}
		if err := rest.Pause(ctx, max(pause, wished)); err != nil {
			return operation, &LostSight{operation.Value.ID, err}
		}
		pause = min(pause*3/2, c.Wait.Most)
		next, header, err := c.look(ctx, operation.Value.ID)
		switch {
		case err == nil:
			operation, wished, seen = next, rest.RetryAfter(header), time.Now()
		case !rest.Temporary(err) || time.Since(seen) > c.Wait.Away:
			return operation, &LostSight{operation.Value.ID, err}
		default:
			wished = wishOf(err)
		}
	}
}

func (c *Client) look(ctx context.Context, id string) (Read[Operation], http.Header, error) {
	body, header, err := c.REST.Read(ctx, rest.Call{Method: http.MethodGet, Path: path("operations", id)})
	operation, err := decode[Operation](body, header, err)
	return operation, header, err
}

func wishOf(err error) time.Duration {
	var refusal *rest.Refusal
	if errors.As(err, &refusal) {
		return refusal.RetryAfter
	}
	return 0
}
