// The cf CLI plugin of the PostgreSQL broker: backups, as the user who is logged in.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"code.cloudfoundry.org/cli/plugin"

	"postgresql-broker/cf-plugin/internal/commands"
)

// version is that of the project's package.json: the Makefile sets it.
var version = "0.0.0"

type backupPlugin struct{}

func (backupPlugin) GetMetadata() plugin.PluginMetadata {
	metadata := plugin.PluginMetadata{
		Name:          "pg-backup",
		Version:       versionOf(version),
		MinCliVersion: plugin.VersionType{Major: 8},
	}
	for _, command := range commands.All() {
		metadata.Commands = append(metadata.Commands, command.Metadata())
	}
	return metadata
}

func versionOf(text string) plugin.VersionType {
	var version plugin.VersionType
	_, _ = fmt.Sscanf(text, "%d.%d.%d", &version.Major, &version.Minor, &version.Build)
	return version
}

func (backupPlugin) Run(cli plugin.CliConnection, args []string) {
	// Sent by cf when the plugin is removed.
	if args[0] == "CLI-MESSAGE-UNINSTALL" {
		return
	}
	env := commands.NewEnv(cli)
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-asked
		leave(env)
	}()
	os.Exit(commands.Run(context.Background(), env, args))
}

// leave ends at once: cf is gone already, and nobody waits for its plugin.
func leave(env *commands.Env) {
	if line := env.Parting(); line != "" {
		fmt.Fprintf(os.Stderr, "\n%s\n", line)
	}
	os.Exit(1)
}

func main() { plugin.Start(backupPlugin{}) }
