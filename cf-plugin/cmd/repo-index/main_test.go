package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheEntryOfTheCommunitysRepository(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64", "windows-amd64.exe"} {
		if err := os.WriteFile(filepath.Join(folder, "pg-backup-"+name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	of := release{version: "1.2.3", address: "https://example.org/v1.2.3", homepage: "https://example.org", date: "2026-11-25", author: "A"}
	if err := write(folder, of); err != nil {
		t.Fatal(err)
	}
	entry, err := os.ReadFile(filepath.Join(folder, "repo-index-entry.yml"))
	if err != nil {
		t.Fatal(err)
	}
	// Sorted by key, as that repository's own test wants it; sums are SHA-1, as cf checks them.
	expected := `- authors:
  - name: A
  binaries:
  - checksum: 3653b16520d266165272e9458e97277f69524146
    platform: osx
    url: https://example.org/v1.2.3/pg-backup-darwin-amd64
  - checksum: 93c153488ef73cbe3d433572b8b5e9a4bddf7634
    platform: win64
    url: https://example.org/v1.2.3/pg-backup-windows-amd64.exe
  - checksum: c8fac79b1b80c373d87f27a62b02e55030de2592
    platform: linux64
    url: https://example.org/v1.2.3/pg-backup-linux-amd64
  company:
  created: 2026-11-25T00:00:00Z
  description: Backup, restore, download and upload of PostgreSQL service instances
  homepage: https://example.org
  name: pg-backup
  updated: 2026-11-25T00:00:00Z
  version: 1.2.3
`
	if string(entry) != expected {
		t.Errorf("got\n%s", entry)
	}
	sums, _ := os.ReadFile(filepath.Join(folder, "SHA256SUMS"))
	if lines := strings.Count(string(sums), "\n"); lines != 5 {
		t.Errorf("%d sums:\n%s", lines, sums)
	}
}
