package commands

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBackupsAreListed(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	w.expect("pg-backups my-db", 0, `Getting backups of service instance my-db in org org / space space as dev...

name         created                size      storage   state       origin
20261124-a   2026-11-24T12:00:00Z   2.0 KiB   local     available   backup
20261124-b   2026-11-23T12:00:00Z   3 B       s3        missing     upload
`, "storage s3 could not be asked, its backups are shown as they were last known: no route")
	w.expect("pg-backups my-db --json", 0, "", "Getting backups")
	if list := w.document()["backups"].([]any); len(list) != 2 {
		t.Errorf("got %v", list)
	}
}

func TestWhichBackupIsMeant(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	w.expect("pg-backup my-db latest", 0, "name:       20261124-a", "")
	w.expect("pg-backup my-db 20261124-b", 0, "name:       20261124-b", "")
	w.answers["GET /backups/g"] = `{"backups": [` + first + `]}`
	w.expect("pg-backup my-db 2026", 0, "name:       20261124-a", "")
	w.hasBackups()
	w.expect("pg-backup my-db 2026", 1, "FAILED", "2 backups begin with 2026: 20261124-a, 20261124-b")
	w.expect("pg-backup my-db x", 1, "FAILED", "no backup is named x or begins so")
}

func TestABackupIsMadeAndWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.answers["POST /backup_instance/g"] = `202|{"id": "op", "kind": "backup", "state": "queued"}`
	w.answers["GET /operations/op"] = `{"id": "op", "kind": "backup", "state": "succeeded", "result": ` + first + `}`
	w.expect("create-pg-backup my-db --storage s3 --name n", 0, "Operation op has begun.\nOK\n\nname:      20261124-a\n", "")
	if !w.sent("POST /backup_instance/g?name=n&storage=s3") {
		t.Errorf("asked %v", w.asked)
	}
	w.expect("create-pg-backup my-db --json", 0, "", "Operation op has begun")
	if w.document()["state"] != "succeeded" {
		t.Errorf("got %v", w.stdout)
	}
	w.expect("create-pg-backup my-db --no-wait --json", 0, "", "cf pg-operation op --wait")
	if w.document()["state"] != "queued" || w.sent("GET /operations") {
		t.Errorf("got %v after %v", w.stdout, w.asked)
	}
}

func TestWhatFailedIsSaidInTheBrokersWords(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	w.answers["POST /restore_instance/g/20261124-a"] = `202|{"id": "op", "kind": "restore", "state": "queued"}`
	w.answers["GET /operations/op"] = `{"id": "op", "kind": "restore", "state": "failed", "error": {"code": "server_full",
		"detail": "the server has no room", "errors": ["statement 1", "statement 2"], "missing_bytes": 2048}}`
	w.expect("restore-pg-backup my-db latest -f", 1, "FAILED",
		"the server has no room\n   statement 1\n   statement 2\nmissing: 2.0 KiB\noperation: op\n")
	w.expect("restore-pg-backup my-db latest -f --json", 1, `"detail": "the server has no room"`, "FAILED")
	w.document()
	w.answers["POST /restore_instance/g/20261124-a"] = `409|{"code": "operation_in_progress", "detail": "a backup runs", "operation_id": "other"}`
	w.expect("restore-pg-backup my-db latest -f", 1, "FAILED", "a backup runs\noperation: other")
	w.expect("restore-pg-backup my-db latest -f --json", 1, "", "")
	if refusal := w.document()["error"].(map[string]any); refusal["code"] != "operation_in_progress" {
		t.Errorf("got %v", refusal)
	}
}

func TestAResultThatCannotBeReadLeavesOneDocument(t *testing.T) {
	w := newWorld(t)
	w.answers["POST /backup_instance/g"] = `202|{"id": "op", "kind": "backup", "state": "queued"}`
	w.answers["GET /operations/op"] = `{"id": "op", "kind": "backup", "state": "succeeded", "result": "done"}`
	w.expect("create-pg-backup my-db --json", 1, "", "the broker's result cannot be read")
	if refusal := w.document()["error"].(map[string]any); refusal["code"] != "failed" || strings.Contains(w.stderr, "OK") {
		t.Errorf("got %v and %s", refusal, w.stderr)
	}
}

func TestARestoreOfADatabaseOfUnknownSizeSaysSo(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	w.answers["GET /restore_point/g"] = `{"database_bytes": null, "keep_ms": 86400000}`
	w.stdin = "n\n"
	w.expect("restore-pg-backup my-db latest", 0, "The database of my-db (size unknown) will be replaced", "")
}

func TestARestoreAsks(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	w.answers["GET /restore_point/g"] = `{"database_bytes": 4096, "keep_ms": 86400000}`
	w.stdin = "n\n"
	w.expect("restore-pg-backup my-db latest", 0, "The database of my-db (4.0 KiB) will be replaced by backup 20261124-a, "+
		"made 1 day ago (2026-11-24T12:00:00Z).\nThis can be undone until 2026-11-26T12:00:00Z (cf undo-pg-restore)", "")
	if w.sent("POST") {
		t.Error("restored all the same")
	}
	w.stdin = ""
	w.expect("restore-pg-backup my-db latest", 1, "FAILED", "nobody has answered: -f asks nothing")
	w.expect("undo-pg-restore my-db", 1, "FAILED", "there is no restore to undo")
	w.stdin = "y\n"
	w.answers["POST /restore_instance/g/20261124-a"] = `202|{"id": "op", "kind": "restore", "state": "queued"}`
	w.answers["GET /operations/op"] = `{"id": "op", "kind": "restore", "state": "succeeded", "result": {"rows": 1234, "tables": 5, "outage_ms": 80,
		"restore_point": {"created_at": "2026-11-25T12:00:00Z", "expires_at": "2026-11-26T12:00:00Z", "database_bytes": 4096}, "left_out": ["event trigger e"]}}`
	w.expect("restore-pg-backup my-db latest", 0, "rows:         1,234\ntables:       5\noutage:       80ms\nreplaced:     4.0 KiB\nundo until:   2026-11-26T12:00:00Z",
		"Left out of the database:\n   event trigger e")
}

func TestABackupOfAnotherInstanceIsRestored(t *testing.T) {
	w := newWorld(t)
	const other = "6c0e9d3c-5d8b-4c1f-9c57-3f6f0f0a7e11"
	w.answers["GET /backups/"+other+"/latest"] = first
	w.answers["POST /restore_instance/g/20261124-a"] = `202|{"id": "op", "kind": "restore", "state": "queued"}`
	w.expect("restore-pg-backup my-db latest -f --no-wait --from "+other, 0, "Operation op", "")
	if !w.sent("POST /restore_instance/g/20261124-a?from=" + other + "&storage=local") {
		t.Errorf("asked %v", w.asked)
	}
	w.expect("restore-pg-backup my-db latest -f --from nobody", 1, "FAILED", "--from: no service instance nobody is in the targeted space")
}

func TestOnlyTheBackupThatWasShownIsDeleted(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	w.answers["DELETE /backups/g/20261124-a"] = `412|{"code": "precondition_failed", "detail": "it has another entity tag"}`
	w.expect("delete-pg-backup my-db latest -f", 1, "FAILED", "it has another entity tag")
	w.stdin = "no\n"
	w.expect("delete-pg-backup my-db latest --json", 0, `"cancelled": true`,
		"Really delete the backup 20261124-a of my-db, made 1 day ago (2026-11-24T12:00:00Z, 2.0 KiB)? [yN]: Delete cancelled")
}

func TestOperationsAreCancelled(t *testing.T) {
	w := newWorld(t)
	w.answers["GET /operations/op"] = `{"id": "op", "kind": "backup", "state": "cancelled"}`
	w.answers["DELETE /operations/op"] = `202|{"id": "op", "kind": "backup", "state": "running"}`
	w.expect("cancel-pg-operation op -f", 0, "OK", "")
	w.answers["DELETE /operations/op"] = `202|{"id": "op", "kind": "backup", "state": "succeeded"}`
	w.expect("cancel-pg-operation op -f", 1, "FAILED", "it could not be cancelled any more: the backup has succeeded")
}

func TestStoragesShowWhatTheUserMayKnow(t *testing.T) {
	w := newWorld(t)
	w.answers["GET /storages"] = `{"storages": [{"name": "local", "type": "local"}, {"name": "cold", "type": "s3"}]}`
	w.expect("pg-storages", 0, "name    type\nlocal   local\ncold    s3\n", "")
	w.answers["GET /storages"] = `{"storages": [{"name": "s3", "type": "s3", "reachable": false, "error": {"code": "c", "detail": "no bucket"}}]}`
	w.expect("pg-storages", 0, "s3     s3     not reachable", "storage s3: no bucket")
}

func TestAFileIsLookedAtBeforeAnythingIsSent(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "x.sql")
	_ = os.WriteFile(file, []byte("-- PostgreSQL database dump"), 0o600)
	w.expect("upload-pg-backup my-db "+file, 1, "FAILED", "no archive in PostgreSQL's custom format")
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
}

func TestAFileIsNotOverwritten(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	file := filepath.Join(t.TempDir(), "x.dump")
	_ = os.WriteFile(file, []byte("mine"), 0o600)
	w.expect("download-pg-backup my-db latest -o "+file, 1, "FAILED", "is there already")
	if content, _ := os.ReadFile(file); string(content) != "mine" {
		t.Error("it was")
	}
}

func TestMistakesInTheCommandLine(t *testing.T) {
	w := newWorld(t)
	w.expect("pg-backups", 1, "FAILED", "Incorrect Usage: the required argument `SERVICE_INSTANCE` was not provided\nSee 'cf help pg-backups'")
	w.expect("pg-backups a b", 1, "FAILED", `unexpected argument "b"`)
	w.expect("pg-backups a --nope --json", 1, "", "unknown flag `nope'")
	if refusal := w.document()["error"].(map[string]any); refusal["code"] != "usage" {
		t.Errorf("got %v", refusal)
	}
	w.cli.loggedOut = true
	w.expect("pg-backups my-db", 1, "FAILED", "not logged in")
	w.cli = cli{api: w.controller.URL, noSpace: true}
	w.expect("pg-backups my-db", 1, "FAILED", "cf target -o ORG -s SPACE")
}

func TestNothingEmptyIsTakenForAllOrForNothing(t *testing.T) {
	w := newWorld(t)
	w.answers["GET /backups/g"] = `{"backups": [` + first + `]}`
	w.answers["GET /backups/g/20261124-a"] = first
	w.answers["DELETE /backups/g/20261124-a"] = `202|{"id": "op", "kind": "delete_backup", "state": "queued"}`
	w.answers["POST /restore_instance/g/20261124-a"] = `202|{"id": "op", "kind": "restore", "state": "queued"}`
	for _, each := range []struct {
		refusal string
		args    []string
	}{
		{"an argument is empty", []string{"delete-pg-backup", "my-db", "", "-f", "--no-wait"}},
		{"an argument is empty", []string{"restore-pg-backup", "my-db", "", "-f", "--no-wait"}},
		{"an argument is empty", []string{"restore-pg-backup", "-f", "--no-wait", "--", "my-db", ""}},
		{"--from is empty", []string{"restore-pg-backup", "my-db", "20261124-a", "-f", "--no-wait", "--from", ""}},
		{"--from is empty", []string{"restore-pg-backup", "my-db", "20261124-a", "-f", "--no-wait", "--from="}},
		{"--storage is empty", []string{"delete-pg-backup", "my-db", "20261124-a", "-f", "--no-wait", "--storage", ""}},
	} {
		if code := w.runWith(each.args...); code != 1 || !strings.Contains(w.stderr, each.refusal) || len(w.asked) != 0 {
			t.Errorf("%q: exit code %d, asked %v\n%s", each.args, code, w.asked, w.stderr)
		}
	}
	w.expect("delete-pg-backup my-db 2026 -f --no-wait", 0, "Operation op has begun", "")
}

func TestEveryCommandHasHelpInTheMannerOfCf(t *testing.T) {
	for _, command := range All() {
		metadata := command.Metadata()
		usage := metadata.UsageDetails.Usage
		if metadata.HelpText == "" || !strings.HasPrefix(usage, "cf "+command.Name) || !strings.Contains(usage, "\n\nEXAMPLES:\n   cf "+command.Name) {
			t.Errorf("%s: %q", command.Name, usage)
		}
		for option, description := range metadata.UsageDetails.Options {
			if description == "" {
				t.Errorf("%s: --%s has no description", command.Name, option)
			}
		}
		if _, has := metadata.UsageDetails.Options["json"]; !has {
			t.Errorf("%s has no --json", command.Name)
		}
	}
}
