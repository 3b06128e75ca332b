package commands

import (
	"context"
	"fmt"
)

var deleteCommand = Command{
	Name:      "delete-pg-backup",
	Help:      "Delete a backup",
	Arguments: "SERVICE_INSTANCE BACKUP [--storage STORAGE] [-f] [--no-wait] [--guid] [--json]",
	Notes:     whichBackup,
	Examples:  []string{"my-db before-migration", "my-db latest -f"},
	new:       func() runner { return &deleteBackup{} },
}

type deleteBackup struct {
	onInstance
	onStorage
	forced
	waiting
	Positional struct {
		Instance string `positional-arg-name:"SERVICE_INSTANCE"`
		Backup   string `positional-arg-name:"BACKUP"`
	} `positional-args:"yes" required:"yes"`
}

func (o *deleteBackup) run(ctx context.Context, env *Env) error {
	r, err := env.instance(ctx, o.onInstance, o.Positional.Instance)
	if err != nil {
		return err
	}
	found, err := r.pick(ctx, r.guid, o.Positional.Backup, o.Storage)
	if err != nil {
		return err
	}
	backup := found.Value
	if !o.Force {
		question := fmt.Sprintf("Really delete the backup %s of %s, made %s (%s, %s)?", env.Name(backup.Name),
			env.Name(r.name), env.age(backup.CreatedAt), clock(backup.CreatedAt), size(backup.SizeBytes))
		if sure, err := env.Confirm(question); err != nil || !sure {
			return env.declined("Delete", err)
		}
	}
	env.Say("Deleting backup %s of service instance %s %s...", env.Name(backup.Name), env.Name(r.name), r.where)
	begun, err := r.Delete(ctx, backup)
	if err != nil {
		return perhapsBegun(err, r)
	}
	return env.follow(ctx, r, begun, o.NoWait)
}
