package commands

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"postgresql-broker/cf-plugin/internal/broker"
	"postgresql-broker/cf-plugin/internal/rest"
)

var restoreCommand = Command{
	Name:      "restore-pg-backup",
	Help:      "Replace the data of a PostgreSQL service instance by those of a backup",
	Arguments: "SERVICE_INSTANCE BACKUP [--from SERVICE_INSTANCE_OR_GUID] [--storage STORAGE] [-f] [--no-wait] [--guid] [--json]",
	Notes: whichBackup + "\nThe backup is restored whole or not at all; until it is, the data are not touched. Credentials stay the same,\n" +
		"clients are disconnected once. 'cf undo-pg-restore' puts the replaced data back.",
	Examples: []string{"my-db latest", "my-db before-migration -f", "my-db latest --from my-production-db"},
	new:      func() runner { return &restore{} },
}

type restore struct {
	onInstance
	onStorage
	forced
	waiting
	From       string `long:"from" value-name:"SERVICE_INSTANCE_OR_GUID" description:"Take the backup of another service instance, by its name or, where it is in another space, its GUID"`
	Positional struct {
		Instance string `positional-arg-name:"SERVICE_INSTANCE"`
		Backup   string `positional-arg-name:"BACKUP"`
	} `positional-args:"yes" required:"yes"`
}

func (o *restore) run(ctx context.Context, env *Env) error {
	r, err := env.instance(ctx, o.onInstance, o.Positional.Instance)
	if err != nil {
		return err
	}
	source, from, err := r.source(ctx, o.From)
	if err != nil {
		return err
	}
	found, err := r.pick(ctx, source, o.Positional.Backup, o.Storage)
	if err != nil {
		return err
	}
	backup := found.Value
	if !o.Force {
		question, err := r.restoreQuestion(ctx, env, backup, o.From)
		if err != nil {
			return err
		}
		if sure, err := env.Confirm(question); err != nil || !sure {
			return env.declined("Restore", err)
		}
	}
	env.Say("Restoring backup %s into service instance %s %s...", env.Name(backup.Name), env.Name(r.name), r.where)
	begun, err := r.Restore(ctx, r.guid, backup.Name, backup.Storage, from)
	if err != nil {
		return perhapsBegun(err, r)
	}
	return env.follow(ctx, r, begun, o.NoWait)
}

var guidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// source is the instance whose backup is meant, and the same if it is another one than that to be restored.
func (r *reach) source(ctx context.Context, named string) (guid, from string, err error) {
	if named == "" {
		return r.guid, "", nil
	}
	if space, err := r.session.Space(); err == nil {
		found, err := r.controller.ByName(ctx, named, space.GUID)
		if err != nil {
			return "", "", err
		}
		if found != nil {
			return found.GUID, found.GUID, nil
		}
	}
	if !guidPattern.MatchString(named) {
		return "", "", fmt.Errorf("--from: no service instance %s is in the targeted space, and it is no GUID", named)
	}
	return named, named, nil
}

func (r *reach) restoreQuestion(ctx context.Context, env *Env, backup broker.Backup, from string) (string, error) {
	database, err := r.database(ctx)
	if err != nil {
		return "", err
	}
	whose := ""
	if from != "" {
		whose = " of " + env.Name(from)
	}
	return fmt.Sprintf("The database of %s (%s) will be replaced by backup %s%s, made %s (%s).\n"+
		"This can be undone until %s (cf undo-pg-restore), or until another restore.\nReally restore?",
		env.Name(r.name), knownSize(database.DatabaseBytes), env.Name(backup.Name), whose,
		env.age(backup.CreatedAt), clock(backup.CreatedAt),
		clock(env.Now().Add(time.Duration(database.KeepMillis)*time.Millisecond))), nil
}

func (r *reach) database(ctx context.Context) (broker.Database, error) {
	found, err := r.Database(ctx, r.guid)
	return found.Value, err
}

var undoCommand = Command{
	Name:      "undo-pg-restore",
	Help:      "Put back the data that the last restore has replaced",
	Arguments: "SERVICE_INSTANCE [-f] [--no-wait] [--guid] [--json]",
	Notes:     "What it replaces is kept in turn: an undo can be undone.",
	Examples:  []string{"my-db", "my-db -f"},
	new:       func() runner { return &undo{} },
}

type undo struct {
	onInstance
	forced
	waiting
	Positional struct {
		Instance string `positional-arg-name:"SERVICE_INSTANCE"`
	} `positional-args:"yes" required:"yes"`
}

func (o *undo) run(ctx context.Context, env *Env) error {
	r, err := env.instance(ctx, o.onInstance, o.Positional.Instance)
	if err != nil {
		return err
	}
	if !o.Force {
		question, err := r.undoQuestion(ctx, env)
		if err != nil {
			return err
		}
		if sure, err := env.Confirm(question); err != nil || !sure {
			return env.declined("Undo", err)
		}
	}
	env.Say("Undoing the last restore of service instance %s %s...", env.Name(r.name), r.where)
	begun, err := r.Undo(ctx, r.guid)
	if err != nil {
		return perhapsBegun(err, r)
	}
	return env.follow(ctx, r, begun, o.NoWait)
}

func (r *reach) undoQuestion(ctx context.Context, env *Env) (string, error) {
	database, err := r.database(ctx)
	if err != nil {
		return "", err
	}
	point := database.RestorePoint
	if point == nil {
		return "", errors.New("there is no restore to undo: nothing was restored, or its time is over")
	}
	return fmt.Sprintf("The database of %s (%s) will be replaced by the one (%s) that was replaced %s (%s).\nReally undo the restore?",
		env.Name(r.name), knownSize(database.DatabaseBytes), size(point.DatabaseBytes),
		env.age(point.CreatedAt), clock(point.CreatedAt)), nil
}

// declined ends a command whose question was not answered by yes.
func (e *Env) declined(what string, err error) error {
	if err != nil {
		return err
	}
	e.Say("%s cancelled", what)
	return e.Document(map[string]any{"cancelled": true})
}

// perhapsBegun warns where the request may have been carried out though no answer came.
func perhapsBegun(err error, r *reach) error {
	var unreachable *rest.Unreachable
	if errors.As(err, &unreachable) && unreachable.Sent {
		return fmt.Errorf("%w\nThe work may have begun all the same: %s tells", err, r.againHere("pg-operations"))
	}
	var refusal *rest.Refusal
	if errors.As(err, &refusal) && refusal.Status >= http.StatusInternalServerError && refusal.Code == "" {
		return fmt.Errorf("%w\nThe work may have begun all the same: %s tells", err, r.againHere("pg-operations"))
	}
	return err
}
