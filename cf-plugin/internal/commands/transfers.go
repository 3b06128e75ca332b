package commands

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"postgresql-broker/cf-plugin/internal/broker"
	"postgresql-broker/cf-plugin/internal/rest"
)

var downloadCommand = Command{
	Name:      "download-pg-backup",
	Help:      "Download a backup as an archive for pg_restore",
	Arguments: "SERVICE_INSTANCE BACKUP [-o FILE] [--resume] [--storage STORAGE] [-f] [--guid] [--json]",
	Notes: whichBackup + "\nWhat comes is written to FILE.part, compared with the backup's sha256 and then renamed. A connection that\n" +
		"breaks is made again for the rest; --resume goes on with the FILE.part of an earlier command.",
	Examples: []string{"my-db latest", "my-db latest -o my-db.dump", "my-db latest -o my-db.dump --resume"},
	new:      func() runner { return &download{} },
}

type download struct {
	onInstance
	onStorage
	Force      bool   `short:"f" long:"force" description:"Replace FILE if it is there"`
	Output     string `short:"o" long:"output" value-name:"FILE" description:"Where to write it; default: SERVICE_INSTANCE-BACKUP.dump"`
	Resume     bool   `long:"resume" description:"Go on with FILE.part"`
	Positional struct {
		Instance string `positional-arg-name:"SERVICE_INSTANCE"`
		Backup   string `positional-arg-name:"BACKUP"`
	} `positional-args:"yes" required:"yes"`
}

func (o *download) run(ctx context.Context, env *Env) error {
	r, err := env.instance(ctx, o.onInstance, o.Positional.Instance)
	if err != nil {
		return err
	}
	found, err := r.pick(ctx, r.guid, o.Positional.Backup, o.Storage)
	if err != nil {
		return err
	}
	backup := found.Value
	file := o.Output
	if file == "" {
		file = fileName(r.name, backup)
	}
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) && !o.Force {
		return fmt.Errorf("%s is there already: choose another one by -o, or replace it by -f", file)
	}
	env.Say("Downloading backup %s of service instance %s %s...", env.Name(backup.Name), env.Name(r.name), r.where)
	again := r.againHere("download-pg-backup", o.rest(backup.Name, file)...)
	env.onInterrupt("What has come is in " + broker.PartOf(file) + ". To go on: " + again)
	tell, end := env.Bar(filepath.Base(file), backup.SizeBytes)
	err = r.Download(ctx, backup, file, o.Resume, tell)
	end()
	var interrupted *broker.Interrupted
	if errors.As(err, &interrupted) {
		return fmt.Errorf("%w\nWhat has come is in %s. To go on: %s", err, interrupted.Part, again)
	}
	if err != nil {
		return err
	}
	env.OK()
	env.Say("")
	env.Fields([]terminalField{
		field("file", file), field("size", exactSize(backup.SizeBytes)), field("sha256", backup.SHA256),
	})
	return env.Document(map[string]any{"file": file, "backup": found.Raw})
}

// rest are the arguments that go on with what has come of a backup.
func (o *download) rest(backup, file string) []string {
	args := append([]string{backup, "-o", file, "--resume"}, o.onStorage.repeated()...)
	if o.Force {
		args = append(args, "--force")
	}
	return args
}

var unsafeInFile = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func fileName(instance string, backup broker.Backup) string {
	return unsafeInFile.ReplaceAllString(instance, "_") + "-" + unsafeInFile.ReplaceAllString(backup.Name, "_") + ".dump"
}

var uploadCommand = Command{
	Name:      "upload-pg-backup",
	Help:      "Store an archive of pg_dump -Fc as a backup",
	Arguments: "SERVICE_INSTANCE FILE [--name NAME] [--storage STORAGE] [--no-wait] [--guid] [--json]",
	Notes: "The file must be an archive in PostgreSQL's custom format, whichever server it comes from. The broker reads it\n" +
		"through before it counts as a backup.",
	Examples: []string{"my-db my-db.dump", "my-db my-db.dump --name from-production --storage s3"},
	new:      func() runner { return &upload{} },
}

type upload struct {
	onInstance
	onStorage
	waiting
	Name       string `long:"name" value-name:"NAME" description:"Name of the backup; default: the time, with a short random ending"`
	Positional struct {
		Instance string `positional-arg-name:"SERVICE_INSTANCE"`
		File     string `positional-arg-name:"FILE"`
	} `positional-args:"yes" required:"yes"`
}

func (o *upload) run(ctx context.Context, env *Env) error {
	archive, err := broker.OpenArchive(o.Positional.File)
	if err != nil {
		return err
	}
	defer archive.Close()
	r, err := env.instance(ctx, o.onInstance, o.Positional.Instance)
	if err != nil {
		return err
	}
	name := o.Name
	if name == "" {
		name = drawName(env.Now())
	}
	env.Say("Uploading %s as backup %s of service instance %s %s...", o.Positional.File, env.Name(name), env.Name(r.name), r.where)
	tell, end := env.Bar("reading", archive.Size)
	digest, err := archive.Digest(ctx, tell)
	end()
	if err != nil {
		return err
	}
	env.onInterrupt("The upload is broken off, no backup was stored.")
	tell, end = env.Bar("sending", archive.Size)
	begun, err := r.Upload(ctx, r.guid, name, o.Storage, archive, digest, func(bytes int64) {
		if bytes >= archive.Size {
			env.onInterrupt("All has been sent: the broker may store the backup without this command, " + r.againHere("pg-operations") + " tells.")
		}
		tell(bytes)
	})
	end()
	var unreachable *rest.Unreachable
	if errors.As(err, &unreachable) {
		return fmt.Errorf("%w\n%s tells what the broker has made of it", err, r.againHere("pg-operations"))
	}
	if err != nil {
		return err
	}
	return env.follow(ctx, r, begun, o.NoWait)
}

// drawName names an upload as the broker names its backups.
func drawName(now time.Time) string {
	random := make([]byte, 3)
	_, _ = rand.Read(random)
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(random)
}
