package rest

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	mostTries     = 5
	firstPause    = 500 * time.Millisecond
	longestPause  = 15 * time.Second
	longestWished = 2 * time.Minute
)

// Temporary says whether the same request may succeed a little later.
func Temporary(err error) bool {
	var unreachable *Unreachable
	if errors.As(err, &unreachable) {
		return true
	}
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusBadGateway:
		// With a code it is the broker's word about a storage, else that of something between.
		return refusal.Code == ""
	}
	return false
}

// pauseAfter doubles with each try; what the peer wishes goes before.
func pauseAfter(try int, err error) time.Duration {
	pause := min(firstPause<<min(try-1, 10), longestPause)
	pause = pause/2 + rand.N(pause/2+1)
	var refusal *Refusal
	if errors.As(err, &refusal) && refusal.RetryAfter > pause {
		return refusal.RetryAfter
	}
	return pause
}

// RetryAfter reads the header of that name: seconds or a date. Zero where there is none.
func RetryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	wished := time.Duration(0)
	if seconds, err := strconv.Atoi(value); err == nil {
		wished = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		wished = time.Until(date)
	}
	return max(0, min(wished, longestWished))
}
