package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"postgresql-broker/cf-plugin/internal/rest"
)

// Client calls one broker.
type Client struct {
	REST *rest.Client
	Wait Patience
}

// New takes a client whose base is the broker's address.
func New(client *rest.Client) *Client { return &Client{REST: client, Wait: DefaultPatience} }

// Backups lists those of an instance, of one storage if it is named.
func (c *Client) Backups(ctx context.Context, instance, storage string) (Read[Backups], error) {
	return read[Backups](ctx, c, http.MethodGet, "/backups/"+url.PathEscape(instance), storageQuery(storage))
}

// Backup looks at one; latest is the newest.
func (c *Client) Backup(ctx context.Context, instance, name, storage string) (Read[Backup], error) {
	return read[Backup](ctx, c, http.MethodGet, path("backups", instance, name), storageQuery(storage))
}

// Database tells what a restore would replace.
func (c *Client) Database(ctx context.Context, instance string) (Read[Database], error) {
	return read[Database](ctx, c, http.MethodGet, path("restore_point", instance), nil)
}

// Storages lists where backups can be kept.
func (c *Client) Storages(ctx context.Context) (Read[Storages], error) {
	return read[Storages](ctx, c, http.MethodGet, "/storages", nil)
}

// Operations lists those of an instance.
func (c *Client) Operations(ctx context.Context, instance string, limit int) (Read[Operations], error) {
	query := url.Values{"instance_id": {instance}, "limit": {fmt.Sprint(limit)}}
	return read[Operations](ctx, c, http.MethodGet, "/operations", query)
}

// Operation looks at one.
func (c *Client) Operation(ctx context.Context, id string) (Read[Operation], error) {
	return read[Operation](ctx, c, http.MethodGet, path("operations", id), nil)
}

// Cancel asks the broker to undo what an operation has begun.
func (c *Client) Cancel(ctx context.Context, id string) (Read[Operation], error) {
	return read[Operation](ctx, c, http.MethodDelete, path("operations", id), nil)
}

// MakeBackup begins one. The broker chooses name and storage where they are empty.
func (c *Client) MakeBackup(ctx context.Context, instance, name, storage string) (Read[Operation], error) {
	query := storageQuery(storage)
	if name != "" {
		query.Set("name", name)
	}
	return c.begin(ctx, http.MethodPost, path("backup_instance", instance), query, nil)
}

// Restore begins one; from is the instance whose backup it is, if that is another one.
func (c *Client) Restore(ctx context.Context, instance, name, storage, from string) (Read[Operation], error) {
	query := storageQuery(storage)
	if from != "" {
		query.Set("from", from)
	}
	return c.begin(ctx, http.MethodPost, path("restore_instance", instance, name), query, nil)
}

// Undo begins to put back what the last restore replaced.
func (c *Client) Undo(ctx context.Context, instance string) (Read[Operation], error) {
	return c.begin(ctx, http.MethodPost, path("undo_restore", instance), nil, nil)
}

// Delete begins to delete exactly this backup: not one that has got its name meanwhile.
func (c *Client) Delete(ctx context.Context, backup Backup) (Read[Operation], error) {
	header := http.Header{"If-Match": {tagOf(backup)}}
	return c.begin(ctx, http.MethodDelete, path("backups", backup.InstanceID, backup.Name), storageQuery(backup.Storage), header)
}

func (c *Client) begin(ctx context.Context, method, path string, query url.Values, header http.Header) (Read[Operation], error) {
	if header == nil {
		header = http.Header{}
	}
	header.Set("Prefer", "respond-async")
	return decode[Operation](c.REST.Read(ctx, rest.Call{Method: method, Path: path, Query: query, Header: header}))
}

func read[T any](ctx context.Context, c *Client, method, path string, query url.Values) (Read[T], error) {
	return decode[T](c.REST.Read(ctx, rest.Call{Method: method, Path: path, Query: query}))
}

func decode[T any](body json.RawMessage, _ http.Header, err error) (Read[T], error) {
	document := Read[T]{Raw: body}
	if err != nil {
		return document, err
	}
	if err := json.Unmarshal(body, &document.Value); err != nil {
		return document, fmt.Errorf("the broker answers with another document than expected: %w", err)
	}
	return document, nil
}

func path(parts ...string) string {
	whole := ""
	for _, part := range parts {
		whole += "/" + url.PathEscape(part)
	}
	return whole
}

func storageQuery(storage string) url.Values {
	query := url.Values{}
	if storage != "" {
		query.Set("storage", storage)
	}
	return query
}

func tagOf(backup Backup) string { return `"` + backup.SHA256 + `"` }
