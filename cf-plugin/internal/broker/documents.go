// Package broker is the broker's API for backups, as README.md and its own description (GET /openapi.json) have it.
package broker

import (
	"encoding/json"
	"time"
)

// Backup is one backup of a service instance.
type Backup struct {
	InstanceID    string    `json:"instance_id"`
	Name          string    `json:"backup_name"`
	Storage       string    `json:"storage"`
	State         string    `json:"state"`
	Origin        string    `json:"origin"`
	CreatedAt     time.Time `json:"created_at"`
	SizeBytes     int64     `json:"size_bytes"`
	SHA256        string    `json:"sha256"`
	Compression   *string   `json:"compression"`
	DatabaseBytes *int64    `json:"database_bytes"`
	Rows          *int64    `json:"rows"`
	Tables        *int64    `json:"tables"`
	ServerVersion *string   `json:"server_version"`
	DumpVersion   *string   `json:"dump_version"`
	LSN           *string   `json:"lsn"`
	RequestedBy   Requester `json:"requested_by"`
	OperationID   string    `json:"operation_id"`
}

// Requester is who asked for something.
type Requester struct {
	Realm    string `json:"realm"`
	Username string `json:"username"`
	UserID   string `json:"user_id"`
}

func (r Requester) String() string {
	for _, name := range []string{r.Username, r.UserID, r.Realm} {
		if name != "" {
			return name
		}
	}
	return ""
}

// Warning names a storage that could not be asked.
type Warning struct {
	Storage string `json:"storage"`
	Code    string `json:"code"`
	Detail  string `json:"detail"`
}

// Backups of an instance, newest first.
type Backups struct {
	Backups  []Backup  `json:"backups"`
	Warnings []Warning `json:"warnings"`
}

// Storage is a place where backups are kept. What is unknown to the user is nil.
type Storage struct {
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Reachable *bool    `json:"reachable"`
	FreeBytes *int64   `json:"free_bytes"`
	Error     *Failure `json:"error"`
}

// Storages are all of the broker's.
type Storages struct {
	Storages []Storage `json:"storages"`
}

// Failure is why something did not work, in the broker's words.
type Failure struct {
	Code         string   `json:"code"`
	Detail       string   `json:"detail"`
	Errors       []string `json:"errors"`
	Differences  []string `json:"differences"`
	LeftOut      []string `json:"left_out"`
	MissingBytes *int64   `json:"missing_bytes"`
	Node         string   `json:"node"`
	MaxBytes     *int64   `json:"max_bytes"`
	OperationID  string   `json:"operation_id"`
}

// Operation is a piece of the broker's work.
type Operation struct {
	ID          string          `json:"id"`
	Kind        string          `json:"kind"`
	InstanceID  string          `json:"instance_id"`
	State       string          `json:"state"`
	Phase       string          `json:"phase"`
	Progress    Progress        `json:"progress"`
	Attempt     int             `json:"attempt"`
	NextTryAt   *time.Time      `json:"next_try_at"`
	Error       *Failure        `json:"error"`
	Result      json.RawMessage `json:"result"`
	RequestedBy Requester       `json:"requested_by"`
	CreatedAt   time.Time       `json:"created_at"`
	StartedAt   *time.Time      `json:"started_at"`
	FinishedAt  *time.Time      `json:"finished_at"`
}

// Progress of an operation; what is not known is nil.
type Progress struct {
	Bytes      *int64   `json:"bytes"`
	TotalBytes *int64   `json:"total_bytes"`
	Percent    *float64 `json:"percent"`
	ETAMillis  *int64   `json:"eta_ms"`
}

// Operations of an instance, newest first. Next continues the list.
type Operations struct {
	Operations []Operation `json:"operations"`
	Next       *string     `json:"next"`
}

// Ended says that nothing will change any more.
func (o Operation) Ended() bool {
	return o.State == "succeeded" || o.State == "failed" || o.State == "cancelled"
}

// Restored is the result of a restore or an undo.
type Restored struct {
	Backup       *Backup       `json:"backup"`
	Rows         *int64        `json:"rows"`
	Tables       *int64        `json:"tables"`
	OutageMillis *int64        `json:"outage_ms"`
	RestorePoint *RestorePoint `json:"restore_point"`
	LeftOut      []string      `json:"left_out"`
}

// RestorePoint is the database that a restore has replaced.
type RestorePoint struct {
	CreatedAt     time.Time `json:"created_at"`
	ExpiresAt     time.Time `json:"expires_at"`
	DatabaseBytes int64     `json:"database_bytes"`
}

// Database is what a restore would replace, and what an undo would bring back. What is unknown is nil.
type Database struct {
	DatabaseBytes *int64        `json:"database_bytes"`
	KeepMillis    int64         `json:"keep_ms"`
	RestorePoint  *RestorePoint `json:"restore_point"`
}

// Read is a document and the same as it came.
type Read[T any] struct {
	Value T
	Raw   json.RawMessage
}
