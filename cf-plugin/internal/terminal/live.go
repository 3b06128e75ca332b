package terminal

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/schollz/progressbar/v3"
)

// Live writes over the line that it wrote last. Without a terminal it writes nothing.
func (t *Terminal) Live(line string) {
	if !t.live {
		return
	}
	line = runewidth.Truncate(strings.ReplaceAll(Printable(line), "\n", " "), t.width()-1, "…")
	t.lineShown.Store(true)
	fmt.Fprintf(t.words(), "\r%s\x1b[K", line)
}

// EndLive removes the live line.
func (t *Terminal) EndLive() {
	if t.lineShown.Swap(false) {
		fmt.Fprint(t.words(), "\r\x1b[K")
	}
}

// Bar shows how far a transfer of so many bytes is; what it is told goes into it. Without a terminal it shows nothing.
func (t *Terminal) Bar(label string, total int64) (tell func(int64), end func()) {
	if !t.live {
		return func(int64) {}, func() {}
	}
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(liveWriter{t}),
		progressbar.OptionSetDescription(label),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionSetWidth(20),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetTheme(progressbar.ThemeASCII),
	)
	// A transfer that was refused may still be reading what it would have sent.
	var over atomic.Bool
	tell = func(bytes int64) {
		if !over.Load() {
			_ = bar.Set64(bytes)
		}
	}
	return tell, func() {
		over.Store(true)
		t.EndLive()
	}
}

// liveWriter takes the bar's line for the live one.
type liveWriter struct{ t *Terminal }

func (w liveWriter) Write(text []byte) (int, error) {
	w.t.lineShown.Store(true)
	return w.t.words().Write(text)
}
