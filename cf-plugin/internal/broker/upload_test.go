package broker

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func archiveFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "in.dump")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOnlyArchivesInTheCustomFormatAreSent(t *testing.T) {
	for what, content := range map[string]string{
		"empty": "", "short": "PGDMP", "sql": "-- PostgreSQL database dump of a long enough text",
		"tar": "toc.dat" + strings.Repeat("\x00", 100), "directory": "PGDMP\x01\x0e\x00\x04\x08\x05 and more",
	} {
		if _, err := OpenArchive(archiveFile(t, content)); err == nil || !strings.Contains(err.Error(), "pg_dump -Fc") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := OpenArchive(t.TempDir()); err == nil {
		t.Error("a folder")
	}
}

func TestAnUploadWaitsUntilItIsWanted(t *testing.T) {
	content := "PGDMP\x01\x0e\x00\x04\x08\x01" + strings.Repeat("x", 1<<20)
	archive, err := OpenArchive(archiveFile(t, content))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	var header http.Header
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ := io.ReadAll(r.Body)
		if string(body) != content || r.ContentLength != int64(len(content)) {
			t.Errorf("%d bytes came, %d were announced", len(body), r.ContentLength)
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"id": "o", "kind": "upload", "state": "running"}`)
	})
	digest, err := archive.Digest(context.Background(), func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	begun, err := client.Upload(context.Background(), "i", "b", "s3", archive, digest, func(int64) {})
	if err != nil || begun.Value.ID != "o" {
		t.Fatalf("got %v, %v", begun.Value, err)
	}
	for name, value := range map[string]string{"Expect": "100-continue", "Content-Type": "application/octet-stream", "Prefer": "respond-async"} {
		if header.Get(name) != value {
			t.Errorf("%s: %q", name, header.Get(name))
		}
	}
	if !strings.HasPrefix(header.Get("Content-Digest"), "sha-256=:") {
		t.Errorf("Content-Digest: %q", header.Get("Content-Digest"))
	}
}

func TestNothingIsSentOfAnUploadThatIsRefused(t *testing.T) {
	archive, err := OpenArchive(archiveFile(t, "PGDMP\x01\x0e\x00\x04\x08\x01"+strings.Repeat("x", 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	client := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"code": "backup_exists", "detail": "there is one of that name"}`)
	})
	sent := int64(0)
	_, err = client.Upload(context.Background(), "i", "b", "", archive, make([]byte, 32), func(bytes int64) { sent = bytes })
	if err == nil || err.Error() != "there is one of that name" || sent != 0 {
		t.Errorf("%d bytes were sent: %v", sent, err)
	}
}
