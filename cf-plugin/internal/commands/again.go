package commands

import (
	"os"
	"regexp"
	"strings"

	"postgresql-broker/cf-plugin/internal/terminal"
)

// again is a command line that reaches the same broker, as the user has reached it.
func (r *reach) again(command string, args ...string) string {
	return commandLine(command, append(args, r.given.everywhere.repeated()...))
}

// againHere is one on the same service instance.
func (r *reach) againHere(command string, args ...string) string {
	args = append([]string{r.named}, args...)
	if r.given.GUID {
		args = append(args, "--guid")
	}
	return r.again(command, args...)
}

// repeated are the options that another command needs, too. A variable stays set.
func (e everywhere) repeated() []string {
	var options []string
	if e.BackupAPI != "" && e.BackupAPI != os.Getenv("PG_BACKUP_API") {
		options = append(options, "--backup-api", e.BackupAPI)
	}
	if e.InsecureHTTP {
		options = append(options, "--insecure-http")
	}
	return options
}

func (s onStorage) repeated() []string {
	if s.Storage == "" {
		return nil
	}
	return []string{"--storage", s.Storage}
}

func commandLine(command string, args []string) string {
	line := "cf " + command
	for _, arg := range args {
		line += " " + quoted(terminal.Printable(arg))
	}
	return line
}

var plainInShells = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)

// quoted for the shells of POSIX.
func quoted(arg string) string {
	if plainInShells.MatchString(arg) {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
