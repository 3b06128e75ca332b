package commands

import (
	"context"
	"fmt"
	"strings"

	"postgresql-broker/cf-plugin/internal/broker"
	"postgresql-broker/cf-plugin/internal/terminal"
)

type terminalField = terminal.Field

func field(name, value string) terminalField { return terminal.Field{Name: name, Value: value} }

const whichBackup = "BACKUP is a backup's name, the beginning of one that no other has, or latest."

var createBackupCommand = Command{
	Name:      "create-pg-backup",
	Help:      "Make a backup of a PostgreSQL service instance",
	Arguments: "SERVICE_INSTANCE [--storage STORAGE] [--name NAME] [--no-wait] [--guid] [--json]",
	Notes: "The backup is one dump of one moment. The id of the operation is printed at once; Ctrl-C ends only the\n" +
		"waiting, 'cf pg-operation ID --wait' takes it up again.",
	Examples: []string{"my-db", "my-db --storage s3 --name before-migration", "my-db --no-wait --json"},
	new:      func() runner { return &createBackup{} },
}

type createBackup struct {
	onInstance
	onStorage
	waiting
	Name       string `long:"name" value-name:"NAME" description:"Name of the backup; default: the time, with a short random ending"`
	Positional struct {
		Instance string `positional-arg-name:"SERVICE_INSTANCE"`
	} `positional-args:"yes" required:"yes"`
}

func (o *createBackup) run(ctx context.Context, env *Env) error {
	r, err := env.instance(ctx, o.onInstance, o.Positional.Instance)
	if err != nil {
		return err
	}
	env.Say("Creating backup of service instance %s %s...", env.Name(r.name), r.where)
	begun, err := r.MakeBackup(ctx, r.guid, o.Name, o.Storage)
	if err != nil {
		return perhapsBegun(err, r)
	}
	return env.follow(ctx, r, begun, o.NoWait)
}

var listBackupsCommand = Command{
	Name:      "pg-backups",
	Help:      "List the backups of a PostgreSQL service instance",
	Arguments: "SERVICE_INSTANCE [--storage STORAGE] [--guid] [--json]",
	Examples:  []string{"my-db", "my-db --storage s3", "6c0e9d3c-5d8b-4c1f-9c57-3f6f0f0a7e11 --guid"},
	new:       func() runner { return &listBackups{} },
}

type listBackups struct {
	onInstance
	onStorage
	Positional struct {
		Instance string `positional-arg-name:"SERVICE_INSTANCE"`
	} `positional-args:"yes" required:"yes"`
}

func (o *listBackups) run(ctx context.Context, env *Env) error {
	r, err := env.instance(ctx, o.onInstance, o.Positional.Instance)
	if err != nil {
		return err
	}
	env.Say("Getting backups of service instance %s %s...", env.Name(r.name), r.where)
	listed, err := r.Backups(ctx, r.guid, o.Storage)
	if err != nil {
		return err
	}
	env.Say("")
	env.listed(listed.Value)
	return env.Document(listed.Raw)
}

func (e *Env) listed(list broker.Backups) {
	rows := make([][]string, 0, len(list.Backups))
	for _, backup := range list.Backups {
		rows = append(rows, []string{
			backup.Name, clock(backup.CreatedAt), size(backup.SizeBytes), backup.Storage, backup.State, backup.Origin,
		})
	}
	if len(rows) == 0 {
		e.Say("No backups found")
	} else {
		e.Table([]string{"name", "created", "size", "storage", "state", "origin"}, rows)
	}
	for _, warning := range list.Warnings {
		e.Warn("storage %s could not be asked, its backups are shown as they were last known: %s", warning.Storage, warning.Detail)
	}
}

var showBackupCommand = Command{
	Name:      "pg-backup",
	Help:      "Show all about a backup",
	Arguments: "SERVICE_INSTANCE BACKUP [--storage STORAGE] [--guid] [--json]",
	Notes:     whichBackup,
	Examples:  []string{"my-db latest", "my-db 20261124T0300"},
	new:       func() runner { return &showBackup{} },
}

type showBackup struct {
	onInstance
	onStorage
	Positional struct {
		Instance string `positional-arg-name:"SERVICE_INSTANCE"`
		Backup   string `positional-arg-name:"BACKUP"`
	} `positional-args:"yes" required:"yes"`
}

func (o *showBackup) run(ctx context.Context, env *Env) error {
	r, err := env.instance(ctx, o.onInstance, o.Positional.Instance)
	if err != nil {
		return err
	}
	env.Say("Showing backup %s of service instance %s %s...", env.Name(o.Positional.Backup), env.Name(r.name), r.where)
	found, err := r.pick(ctx, r.guid, o.Positional.Backup, o.Storage)
	if err != nil {
		return err
	}
	env.Say("")
	env.Fields(wholly(found.Value))
	return env.Document(found.Raw)
}

// pick finds the backup that a user means.
func (r *reach) pick(ctx context.Context, guid, meant, storage string) (broker.Read[broker.Backup], error) {
	var none broker.Read[broker.Backup]
	if meant == "latest" {
		return r.Backup(ctx, guid, meant, storage)
	}
	listed, err := r.Backups(ctx, guid, storage)
	if err != nil {
		return none, err
	}
	var begun []string
	for _, backup := range listed.Value.Backups {
		if backup.Name == meant {
			return r.Backup(ctx, guid, meant, storage)
		}
		if strings.HasPrefix(backup.Name, meant) {
			begun = append(begun, backup.Name)
		}
	}
	switch len(begun) {
	case 0:
		return none, fmt.Errorf("no backup is named %s or begins so: 'cf pg-backups' lists them", meant)
	case 1:
		return r.Backup(ctx, guid, begun[0], storage)
	}
	return none, fmt.Errorf("%d backups begin with %s: %s", len(begun), meant, strings.Join(begun, ", "))
}

func briefly(backup broker.Backup) []terminalField {
	return []terminalField{
		field("name", backup.Name),
		field("created", clock(backup.CreatedAt)),
		field("size", exactSize(backup.SizeBytes)),
		field("storage", backup.Storage),
		field("sha256", backup.SHA256),
	}
}

func wholly(backup broker.Backup) []terminalField {
	return append(briefly(backup),
		field("state", backup.State),
		field("origin", backup.Origin),
		field("compression", text(backup.Compression)),
		field("database", sizeOf(backup.DatabaseBytes)),
		field("rows", number(backup.Rows)),
		field("tables", number(backup.Tables)),
		field("server", text(backup.ServerVersion)),
		field("pg_dump", text(backup.DumpVersion)),
		field("lsn", text(backup.LSN)),
		field("requested by", backup.RequestedBy.String()),
		field("operation", backup.OperationID),
		field("instance", backup.InstanceID),
	)
}
