// repo-index writes, for the binaries of a release, their sha256 sums and their entry for repo-index.yml of
// github.com/cloudfoundry/cli-plugin-repo (its README and tests say what an entry must be).
package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// platforms are those that cf knows; on a Mac it asks for one only, whose binary runs on both kinds.
var platforms = []struct{ name, suffix string }{
	{"osx", "darwin-amd64"}, {"win64", "windows-amd64.exe"}, {"linux64", "linux-amd64"},
}

type release struct{ version, address, homepage, date, author string }

func main() {
	var of release
	folder := flag.String("dir", "dist", "where the binaries are")
	flag.StringVar(&of.version, "version", "", "")
	flag.StringVar(&of.address, "release", "", "where they will be published")
	flag.StringVar(&of.homepage, "homepage", "", "")
	flag.StringVar(&of.date, "date", "", "of the release")
	flag.StringVar(&of.author, "author", "", "")
	flag.Parse()
	if err := write(*folder, of); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(folder string, of release) error {
	files, err := filepath.Glob(filepath.Join(folder, "pg-backup-*"))
	if err != nil {
		return err
	}
	sums, entry := strings.Builder{}, strings.Builder{}
	checksums := map[string]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name := filepath.Base(file)
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), name)
		// cf checks plugins of a repository by SHA-1; whoever wants more has the list of sha256.
		checksums[name] = fmt.Sprintf("%x", sha1.Sum(content))
	}
	fmt.Fprintf(&entry, "- authors:\n  - name: %s\n  binaries:\n", of.author)
	for _, platform := range platforms {
		name := "pg-backup-" + platform.suffix
		fmt.Fprintf(&entry, "  - checksum: %s\n    platform: %s\n    url: %s/%s\n", checksums[name], platform.name, of.address, name)
	}
	fmt.Fprintf(&entry, "  company:\n  created: %[1]sT00:00:00Z\n  description: Backup, restore, download and upload of PostgreSQL service instances\n"+
		"  homepage: %[2]s\n  name: pg-backup\n  updated: %[1]sT00:00:00Z\n  version: %[3]s\n", of.date, of.homepage, of.version)
	if err := os.WriteFile(filepath.Join(folder, "SHA256SUMS"), []byte(sums.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "repo-index-entry.yml"), []byte(entry.String()), 0o644)
}
