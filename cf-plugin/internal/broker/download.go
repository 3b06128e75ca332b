package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"postgresql-broker/cf-plugin/internal/rest"
)

// So many tries in a row that bring not one byte, and a download is given up.
const mostVainTries = 6

// Tell is told how many bytes of a transfer are there.
type Tell func(bytes int64)

// Interrupted says that a download has stopped with what it has in a file, from which it can go on.
type Interrupted struct {
	Part  string
	Cause error
}

func (e *Interrupted) Error() string { return e.Cause.Error() }
func (e *Interrupted) Unwrap() error { return e.Cause }

// PartOf is where the bytes of a file are until all of them are there.
func PartOf(file string) string { return file + ".part" }

// Download brings an archive into a file. It is written beside it, compared with the manifest's sha256 and only then
// gets its name; a connection that breaks is made anew for the rest. With resume it goes on from what is there.
func (c *Client) Download(ctx context.Context, backup Backup, file string, resume bool, tell Tell) error {
	part, err := openPart(PartOf(file), resume, backup.SizeBytes)
	if err != nil {
		return err
	}
	defer part.file.Close()
	tell(part.size)
	if err := c.fill(ctx, backup, part, tell); err != nil {
		return &Interrupted{PartOf(file), errors.Join(err, part.file.Sync())}
	}
	if err := part.file.Sync(); err != nil {
		return err
	}
	found, err := part.sha256()
	if err != nil {
		return err
	}
	if found != backup.SHA256 {
		// Closed first: Windows removes no open file.
		return errors.Join(
			fmt.Errorf("what came has the sha256 %s, but that of the backup is %s: it is thrown away", found, backup.SHA256),
			part.file.Close(), os.Remove(PartOf(file)))
	}
	return part.finish(file)
}

// finish gives the file its name, unless another one lies in its place.
func (p *part) finish(file string) error {
	if err := errors.Join(p.assertAt(PartOf(file)), p.file.Close()); err != nil {
		return err
	}
	if err := os.Rename(PartOf(file), file); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(file))
	if err != nil {
		return nil
	}
	defer folder.Close()
	// Not every system can; the file itself is safe.
	_ = folder.Sync()
	return nil
}

// fill fetches what is missing, again and again while that brings anything.
func (c *Client) fill(ctx context.Context, backup Backup, part *part, tell Tell) error {
	for vain := 0; part.size < backup.SizeBytes; {
		before := part.size
		err := c.fetch(ctx, backup, part, tell)
		if part.size >= backup.SizeBytes {
			break
		}
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if vain++; part.size > before {
			vain = 0
		}
		if vain >= mostVainTries || !broken(err) {
			return err
		}
		if err := c.pauseAfter(ctx, vain, err); err != nil {
			return err
		}
	}
	return nil
}

// fetch asks for the rest and writes what comes of it.
func (c *Client) fetch(ctx context.Context, backup Backup, part *part, tell Tell) error {
	header := http.Header{"Accept": {"application/octet-stream"}}
	if part.size > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", part.size))
		header.Set("If-Range", tagOf(backup))
	}
	response, err := c.REST.Send(ctx, rest.Call{
		Method: http.MethodGet,
		Path:   path("download_backup", backup.InstanceID, backup.Name),
		Query:  storageQuery(backup.Storage),
		Header: header,
	})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if tag := response.Header.Get("ETag"); tag != tagOf(backup) {
		return fmt.Errorf("the archive is another one now: its entity tag is %s, not %s", tag, tagOf(backup))
	}
	if response.StatusCode == http.StatusOK {
		if err := part.restart(); err != nil {
			return err
		}
	} else if err := part.fits(response, backup.SizeBytes); err != nil {
		return err
	}
	return part.take(io.LimitReader(response.Body, backup.SizeBytes-part.size), tell)
}

func (c *Client) pauseAfter(ctx context.Context, vain int, err error) error {
	wait := rest.Pause
	if c.REST.Pause != nil {
		wait = c.REST.Pause
	}
	return wait(ctx, max(wishOf(err), min(time.Second<<vain/2, 15*time.Second)))
}

// broken says that the connection, not the backup, is at fault.
func broken(err error) bool {
	var local *fs.PathError
	var refusal *rest.Refusal
	switch {
	case errors.As(err, &local):
		return false
	case errors.As(err, &refusal):
		return rest.Temporary(err)
	}
	var wire *wireError
	return rest.Temporary(err) || errors.As(err, &wire) || errors.Is(err, io.ErrUnexpectedEOF)
}

// wireError is one of reading, not of writing.
type wireError struct{ error }

func (e *wireError) Unwrap() error { return e.error }

// part is the file of a download.
type part struct {
	file *os.File
	size int64
}

// openPart opens the file, or makes it: never what a link leads to, and for the user alone, as it holds the database.
func openPart(name string, resume bool, whole int64) (*part, error) {
	info, err := os.Lstat(name)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is there and is no regular file: remove it, or choose another file by -o", name)
	case err == nil && resume:
		return reopenPart(name, whole)
	case err == nil:
		err = os.Remove(name)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &part{file: file}, nil
}

func reopenPart(name string, whole int64) (*part, error) {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	p := &part{file: file}
	err = errors.Join(p.assertAt(name), file.Chmod(0o600))
	if err == nil {
		p.size, err = file.Seek(0, io.SeekEnd)
	}
	if err == nil && p.size > whole {
		err = p.restart()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return p, nil
}

// assertAt: the open file is the one of that name, not one that a link there leads to or that was put there meanwhile.
func (p *part) assertAt(name string) error {
	there, err := os.Lstat(name)
	if err != nil {
		return err
	}
	open, err := p.file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(there, open) {
		return fmt.Errorf("%s is another file than the one that was opened", name)
	}
	return nil
}

// sha256 is that of the file as it can be read, whatever came over the wire.
func (p *part) sha256() (string, error) {
	sum := sha256.New()
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if _, err := io.Copy(sum, p.file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (p *part) restart() error {
	p.size = 0
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

func (p *part) fits(response *http.Response, whole int64) error {
	expected := fmt.Sprintf("bytes %d-%d/%d", p.size, whole-1, whole)
	if given := response.Header.Get("Content-Range"); given != expected {
		return fmt.Errorf("the broker sends %q, but %q was asked for", given, expected)
	}
	return nil
}

func (p *part) take(body io.Reader, tell Tell) error {
	chunk := make([]byte, 256<<10)
	for {
		n, err := body.Read(chunk)
		if n > 0 {
			if _, err := p.file.Write(chunk[:n]); err != nil {
				return err
			}
			p.size += int64(n)
			tell(p.size)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &wireError{err}
		}
	}
}
