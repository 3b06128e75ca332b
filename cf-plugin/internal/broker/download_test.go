package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postgresql-broker/cf-plugin/internal/rest"
)

func clientOf(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	base, _ := url.Parse(server.URL)
	return New(&rest.Client{
		Peer: "the broker", Base: base, HTTP: rest.NewHTTP(false),
		Pause: func(context.Context, time.Duration) error { return nil },
	})
}

func random(t *testing.T, size int) ([]byte, Backup) {
	t.Helper()
	archive := make([]byte, size)
	_, _ = rand.Read(archive)
	sum := sha256.Sum256(archive)
	return archive, Backup{InstanceID: "i", Name: "b", SizeBytes: int64(size), SHA256: hex.EncodeToString(sum[:])}
}

// serving sends an archive as the broker does, and breaks off after so many bytes of each answer while there are any.
func serving(archive []byte, backup Backup, asked *[]string, breaks ...int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Header.Get("Range")+" "+r.Header.Get("If-Range"))
		w.Header().Set("ETag", `"`+backup.SHA256+`"`)
		if len(*asked) > len(breaks) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(archive))
			return
		}
		start := 0
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start); err == nil {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(archive)-1, len(archive)))
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(archive[start : start+breaks[len(*asked)-1]])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestADownloadThatBreaksGoesOnByItself(t *testing.T) {
	archive, backup := random(t, 1<<20)
	var asked []string
	client := clientOf(t, serving(archive, backup, &asked, 300_000, 0, 200_000))
	file := filepath.Join(t.TempDir(), "out.dump")
	last := int64(0)
	if err := client.Download(context.Background(), backup, file, false, func(bytes int64) { last = bytes }); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, archive) || last != backup.SizeBytes {
		t.Errorf("%d bytes, told %d: %v", len(got), last, err)
	}
	if _, err := os.Stat(PartOf(file)); err == nil {
		t.Error("the part is still there")
	}
	tag := `"` + backup.SHA256 + `"`
	expected := []string{" ", "bytes=300000- " + tag, "bytes=300000- " + tag, "bytes=500000- " + tag}
	if strings.Join(asked, "|") != strings.Join(expected, "|") {
		t.Errorf("asked for %v", asked)
	}
}

func TestADownloadThatBringsNothingKeepsWhatItHas(t *testing.T) {
	archive, backup := random(t, 100_000)
	var asked []string
	client := clientOf(t, serving(archive, backup, &asked, 40_000, 0, 0, 0, 0, 0, 0, 0))
	file := filepath.Join(t.TempDir(), "out.dump")
	err := client.Download(context.Background(), backup, file, false, func(int64) {})
	var interrupted *Interrupted
	if !errors.As(err, &interrupted) || len(asked) != 1+mostVainTries {
		t.Fatalf("got %v after %d requests", err, len(asked))
	}
	asked = nil
	resumed := clientOf(t, serving(archive, backup, &asked))
	if err := resumed.Download(context.Background(), backup, file, true, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file); !bytes.Equal(got, archive) || !strings.HasPrefix(asked[0], "bytes=40000-") {
		t.Errorf("%d bytes after %v", len(got), asked)
	}
}

func TestBytesThatAreNotTheBackupsAreThrownAway(t *testing.T) {
	archive, backup := random(t, 10_000)
	archive[5000] ^= 1
	var asked []string
	client := clientOf(t, serving(archive, backup, &asked))
	file := filepath.Join(t.TempDir(), "out.dump")
	err := client.Download(context.Background(), backup, file, false, func(int64) {})
	if err == nil || !strings.Contains(err.Error(), "sha256") || len(asked) != 1 {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(file + "*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAPartOfAnotherArchiveIsNotContinued(t *testing.T) {
	archive, backup := random(t, 10_000)
	file := filepath.Join(t.TempDir(), "out.dump")
	_ = os.WriteFile(PartOf(file), make([]byte, 20_000), 0o600)
	var asked []string
	client := clientOf(t, serving(archive, backup, &asked))
	if err := client.Download(context.Background(), backup, file, true, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file); !bytes.Equal(got, archive) || asked[0] != " " {
		t.Errorf("%d bytes after %v", len(got), asked)
	}
}

func TestWhatIsInTheFileIsComparedNotWhatCame(t *testing.T) {
	archive, backup := random(t, 10_000)
	file := filepath.Join(t.TempDir(), "out.dump")
	var asked []string
	client := clientOf(t, serving(archive, backup, &asked))
	err := client.Download(context.Background(), backup, file, false, func(bytes int64) {
		if bytes < backup.SizeBytes {
			return
		}
		// As a disk or another program might.
		other, err := os.OpenFile(PartOf(file), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		_, _ = other.WriteAt([]byte{archive[100] ^ 1}, 100)
	})
	if err == nil || !strings.Contains(err.Error(), "sha256") {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(file + "*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAPartThatIsALinkIsNotWrittenThrough(t *testing.T) {
	archive, backup := random(t, 10_000)
	folder := t.TempDir()
	file, victim := filepath.Join(folder, "out.dump"), filepath.Join(folder, "victim")
	_ = os.WriteFile(victim, []byte("mine"), 0o600)
	if err := os.Symlink(victim, PartOf(file)); err != nil {
		t.Fatal(err)
	}
	var asked []string
	client := clientOf(t, serving(archive, backup, &asked))
	for _, resume := range []bool{false, true} {
		err := client.Download(context.Background(), backup, file, resume, func(int64) {})
		if err == nil || !strings.Contains(err.Error(), "is no regular file") {
			t.Errorf("resume %v: %v", resume, err)
		}
	}
	if content, _ := os.ReadFile(victim); string(content) != "mine" || len(asked) != 0 {
		t.Errorf("%d bytes are in another file after %v", len(content), asked)
	}
}

func TestAPartIsTheUsersAlone(t *testing.T) {
	archive, backup := random(t, 10_000)
	for _, resume := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), "out.dump")
		if err := os.WriteFile(PartOf(file), archive[:4000], 0o644); err != nil {
			t.Fatal(err)
		}
		var asked []string
		client := clientOf(t, serving(archive, backup, &asked))
		if err := client.Download(context.Background(), backup, file, resume, func(int64) {}); err != nil {
			t.Fatal(err)
		}
		if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
			t.Errorf("resume %v: mode %v", resume, info.Mode())
		}
		if got, _ := os.ReadFile(file); !bytes.Equal(got, archive) {
			t.Errorf("resume %v: %d bytes", resume, len(got))
		}
	}
}

func TestAnotherFileInThePlaceOfThePartIsNotTakenForIt(t *testing.T) {
	archive, backup := random(t, 10_000)
	file := filepath.Join(t.TempDir(), "out.dump")
	var asked []string
	client := clientOf(t, serving(archive, backup, &asked))
	err := client.Download(context.Background(), backup, file, false, func(bytes int64) {
		if bytes == backup.SizeBytes {
			_ = os.Remove(PartOf(file))
			_ = os.WriteFile(PartOf(file), []byte("another download's"), 0o600)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "another file") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it has got the name")
	}
}

func TestARefusedDownloadIsNotTriedAgain(t *testing.T) {
	_, backup := random(t, 10)
	sent := 0
	client := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		sent++
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"code": "archive_damaged", "detail": "it is damaged"}`)
	})
	err := client.Download(context.Background(), backup, filepath.Join(t.TempDir(), "out"), false, func(int64) {})
	if err == nil || err.Error() != "it is damaged" || sent != 1 {
		t.Errorf("sent %d times: %v", sent, err)
	}
}
