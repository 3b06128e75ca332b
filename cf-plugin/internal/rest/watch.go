package rest

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// watched gives a body up that stands still for too long.
type watched struct {
	io.ReadCloser
	silence time.Duration
	timer   *time.Timer
	late    atomic.Bool
	cancel  context.CancelCauseFunc
}

func watch(body io.ReadCloser, silence time.Duration, cancel context.CancelCauseFunc) *watched {
	w := &watched{ReadCloser: body, silence: silence, cancel: cancel}
	w.timer = time.AfterFunc(silence, func() {
		w.late.Store(true)
		cancel(w.tooLate())
	})
	return w
}

func (w *watched) Read(part []byte) (int, error) {
	n, err := w.ReadCloser.Read(part)
	if n > 0 {
		w.timer.Reset(w.silence)
	}
	if err != nil && err != io.EOF && w.late.Load() {
		err = w.tooLate()
	}
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	err := w.ReadCloser.Close()
	w.cancel(nil)
	return err
}

func (w *watched) tooLate() error { return fmt.Errorf("nothing came for %v", w.silence) }
