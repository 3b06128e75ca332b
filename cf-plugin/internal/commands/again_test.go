package commands

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const running = `{"id": "op", "kind": "backup", "state": "running"}`

func TestACommandToGoOnWithReachesTheSameBroker(t *testing.T) {
	w := newWorld(t)
	w.answers["POST /backup_instance/g"] = "202|" + running
	w.answers["GET /operations/op"] = `{"id": "op", "kind": "backup", "state": "succeeded", "result": ` + first + `}`
	w.expect("create-pg-backup my-db --no-wait", 0, "To watch it: cf pg-operation op --wait\n", "")
	w.expect("create-pg-backup my-db --no-wait --insecure-http --backup-api "+w.broker.URL, 0,
		"To watch it: cf pg-operation op --wait --backup-api "+w.broker.URL+" --insecure-http\n", "")
	w.expect("create-pg-backup g --guid --backup-api "+w.broker.URL, 0, "OK", "")
	expected := "The backup goes on without this command. To watch it: cf pg-operation op --wait --backup-api " + w.broker.URL +
		"; to stop it: cf cancel-pg-operation op --backup-api " + w.broker.URL
	if said := w.partings["GET /operations/op"]; said != expected {
		t.Errorf("got %q", said)
	}
	w.answers["POST /backup_instance/g"] = "502|"
	w.expect("create-pg-backup g --guid", 1, "FAILED", "all the same: cf pg-operations g --guid tells")
	t.Setenv("PG_BACKUP_API", w.broker.URL)
	w.answers["POST /backup_instance/g"] = "202|" + running
	w.expect("create-pg-backup my-db --no-wait", 0, "To watch it: cf pg-operation op --wait\n", "")
}

func TestADownloadIsGoneOnWithAsItWasBegun(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	w.answers["GET /v3/service_instances/g"] = `{"guid": "g", "name": "my-db", "type": "managed"}`
	file := filepath.Join(t.TempDir(), "it's.dump")
	_ = os.WriteFile(file, nil, 0o600)
	w.answers["GET /download_backup/g/20261124-a"] = `422|{"code": "archive_damaged", "detail": "it is damaged"}`
	w.expect("download-pg-backup g latest --storage local -f --guid -o "+file+" --backup-api "+w.broker.URL, 1, "FAILED",
		"To go on: cf download-pg-backup g 20261124-a -o '"+strings.ReplaceAll(file, "'", `'\''`)+
			"' --resume --storage local --force --guid --backup-api "+w.broker.URL+"\n")
}

func TestWhoBreaksOffACancellingIsToldThatItGoesOn(t *testing.T) {
	w := newWorld(t)
	w.answers["DELETE /operations/op"] = "202|" + running
	w.answers["GET /operations/op"] = `{"id": "op", "kind": "backup", "state": "cancelled"}`
	w.expect("cancel-pg-operation op -f", 0, "OK", "")
	if said := w.partings["GET /operations/op"]; said != "The cancelling goes on without this command. To watch it: cf pg-operation op --wait" {
		t.Errorf("got %q", said)
	}
}

func TestWhoBreaksOffAnUploadIsToldWhatMayHaveBeenStored(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "in.dump")
	_ = os.WriteFile(file, []byte("PGDMP\x01\x0e\x00\x04\x08\x01"+strings.Repeat("x", 1<<20)), 0o600)
	w.answers["PUT /upload_backup/g/n"] = `202|{"id": "op", "kind": "upload", "state": "succeeded", "result": ` + first + `}`
	w.expect("upload-pg-backup my-db "+file+" --name n", 0, "OK", "")
	if said := w.partings["PUT /upload_backup/g/n"]; !strings.HasPrefix(said, "All has been sent") || !strings.Contains(said, "cf pg-operations my-db tells") {
		t.Errorf("got %q", said)
	}
}
