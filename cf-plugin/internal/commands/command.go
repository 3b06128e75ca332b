// Package commands are what a user types.
package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"code.cloudfoundry.org/cli/plugin"
	"github.com/jessevdk/go-flags"
)

// Command is one of them.
type Command struct {
	Name, Help string
	// Arguments as the usage shows them.
	Arguments string
	// Notes further explain it; Examples are command lines without "cf NAME".
	Notes    string
	Examples []string
	// new makes the options with their defaults.
	new func() runner
}

// runner is a command's options, which can be carried out.
type runner interface {
	run(ctx context.Context, env *Env) error
	wantsJSON() bool
}

// everywhere are the options of every command.
type everywhere struct {
	JSON         bool   `long:"json" description:"Write one JSON document to standard output, everything else to standard error"`
	BackupAPI    string `long:"backup-api" value-name:"URL" env:"PG_BACKUP_API" description:"Address of the broker, where the marketplace does not tell it (or the variable PG_BACKUP_API)"`
	InsecureHTTP bool   `long:"insecure-http" description:"Send the token over plain HTTP, too"`
}

func (e *everywhere) wantsJSON() bool { return e.JSON }

// onInstance are the options of commands on a service instance.
type onInstance struct {
	everywhere
	GUID bool `long:"guid" description:"SERVICE_INSTANCE is a GUID, also of one in another space"`
}

type onStorage struct {
	Storage string `long:"storage" value-name:"STORAGE" description:"Name of a storage (see 'cf pg-storages')"`
}

type forced struct {
	Force bool `short:"f" long:"force" description:"Do it without asking"`
}

type waiting struct {
	NoWait bool `long:"no-wait" description:"Do not wait for the end of the operation"`
}

// All are the commands in the order of the help.
func All() []Command {
	return []Command{
		createBackupCommand, listBackupsCommand, showBackupCommand, restoreCommand, undoCommand, downloadCommand,
		uploadCommand, deleteCommand, listOperationsCommand, showOperationCommand, cancelCommand, storagesCommand,
		trustCommand,
	}
}

// Find gives the command of that name.
func Find(name string) (Command, bool) {
	for _, command := range All() {
		if command.Name == name {
			return command, true
		}
	}
	return Command{}, false
}

// Metadata describes the command to cf, which prints its help.
func (c Command) Metadata() plugin.Command {
	usage := strings.TrimSpace("cf " + c.Name + " " + c.Arguments)
	if c.Notes != "" {
		usage += "\n\n   " + strings.ReplaceAll(c.Notes, "\n", "\n   ")
	}
	usage += "\n\nEXAMPLES:"
	for _, example := range c.Examples {
		usage += strings.TrimRight("\n   cf "+c.Name+" "+example, " ")
	}
	options := map[string]string{}
	for _, group := range c.parser(c.new()).Groups() {
		for _, option := range allOptions(group) {
			key := option.LongName
			if option.ShortName != 0 {
				key += ", -" + string(option.ShortName)
			}
			options[key] = option.Description
		}
	}
	return plugin.Command{Name: c.Name, HelpText: c.Help, UsageDetails: plugin.Usage{Usage: usage, Options: options}}
}

func allOptions(group *flags.Group) []*flags.Option {
	options := group.Options()
	for _, inner := range group.Groups() {
		options = append(options, allOptions(inner)...)
	}
	return options
}

func (c Command) parser(options runner) *flags.Parser {
	return flags.NewParser(options, flags.PassDoubleDash)
}

// parse reads the arguments after the command's name.
func (c Command) parse(args []string) (runner, error) {
	options := c.new()
	parser := c.parser(options)
	rest, err := parser.ParseArgs(args)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("unexpected argument %q", rest[0])
	}
	if err == nil {
		err = assertNoneEmpty(parser, args)
	}
	return options, err
}

// assertNoneEmpty refuses what a variable without a value leaves in a script's command line: it must neither mean
// every backup nor that an option was not given.
func assertNoneEmpty(parser *flags.Parser, args []string) error {
	for _, group := range parser.Groups() {
		for _, option := range allOptions(group) {
			if option.IsSet() && !option.IsSetDefault() && option.Value() == "" {
				return fmt.Errorf("--%s is empty", option.LongName)
			}
		}
	}
	if slices.Contains(args, "") {
		return errors.New("an argument is empty")
	}
	return nil
}
