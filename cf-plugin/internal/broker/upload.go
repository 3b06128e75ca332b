package broker

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"postgresql-broker/cf-plugin/internal/rest"
)

// Archive is a file that was found to be an archive in the custom format.
type Archive struct {
	file *os.File
	Size int64
}

// The head of such an archive: its magic, three bytes of version, the sizes of integers and offsets, and the format,
// of which 1 is the custom one (pg_backup_archiver.h of PostgreSQL).
const (
	magic        = "PGDMP"
	formatAt     = 10
	customFormat = 1
)

// OpenArchive looks at a file before anything is sent.
func OpenArchive(name string) (*Archive, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	archive, err := archiveIn(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return archive, nil
}

func archiveIn(file *os.File) (*Archive, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", file.Name())
	}
	head := make([]byte, formatAt+1)
	n, err := file.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if n < len(head) || string(head[:len(magic)]) != magic || head[formatAt] != customFormat {
		return nil, fmt.Errorf("%s is no archive in PostgreSQL's custom format: make one with pg_dump -Fc", file.Name())
	}
	return &Archive{file, info.Size()}, nil
}

// Close closes the file.
func (a *Archive) Close() error { return a.file.Close() }

// Digest reads the whole file.
func (a *Archive) Digest(ctx context.Context, tell Tell) ([]byte, error) {
	sum := sha256.New()
	counted := &counting{Reader: io.NewSectionReader(a.file, 0, a.Size), ctx: ctx, tell: tell}
	if _, err := io.Copy(sum, counted); err != nil {
		return nil, err
	}
	return sum.Sum(nil), nil
}

// Upload sends an archive, once the broker has said that it wants it, and gives the operation that stores it.
func (c *Client) Upload(ctx context.Context, instance, name, storage string, archive *Archive, digest []byte, tell Tell) (Read[Operation], error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body := &counting{Reader: io.NewSectionReader(archive.file, 0, archive.Size), ctx: ctx, tell: tell}
	stop := body.guard(cancel)
	defer stop()
	return decode[Operation](c.REST.Read(ctx, rest.Call{
		Method: http.MethodPut,
		Path:   path("upload_backup", instance, name),
		Query:  storageQuery(storage),
		Header: http.Header{
			"Content-Type":   {"application/octet-stream"},
			"Content-Digest": {"sha-256=:" + base64.StdEncoding.EncodeToString(digest) + ":"},
			"Expect":         {"100-continue"},
			"Prefer":         {"respond-async"},
		},
		Body:   io.NopCloser(body),
		Length: archive.Size,
	}))
}

// counting tells what has been read, and can be seen to stand still.
type counting struct {
	io.Reader
	ctx  context.Context
	tell Tell
	read atomic.Int64
	done atomic.Bool
}

func (c *counting) Read(part []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.Reader.Read(part)
	c.tell(c.read.Add(int64(n)))
	c.done.Store(err != nil)
	return n, err
}

// guard ends the transfer when it has begun, is not over and stands still.
func (c *counting) guard(cancel context.CancelCauseFunc) (stop func()) {
	ticker := time.NewTicker(rest.Silence)
	ended := make(chan struct{})
	go func() {
		defer ticker.Stop()
		for last := int64(0); ; {
			select {
			case <-ended:
				return
			case <-ticker.C:
			}
			now := c.read.Load()
			if now > 0 && now == last && !c.done.Load() {
				cancel(fmt.Errorf("the broker has taken nothing for %v", rest.Silence))
				return
			}
			last = now
		}
	}()
	return func() { close(ended) }
}
