package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"postgresql-broker/cf-plugin/internal/broker"
)

// follow waits for the end of an operation, unless that is not wanted, and says how it ended.
func (e *Env) follow(ctx context.Context, r *reach, begun broker.Read[broker.Operation], noWait bool) error {
	id := begun.Value.ID
	e.onInterrupt(r.partingLine(begun.Value))
	e.Say("Operation %s has begun.", e.Name(id))
	if noWait {
		e.Say("To watch it: %s", r.watching(id))
		e.OK()
		return e.Document(begun.Raw)
	}
	return e.watch(ctx, r, begun)
}

// watch follows what has begun to its end.
func (e *Env) watch(ctx context.Context, r *reach, begun broker.Read[broker.Operation]) error {
	ended, err := r.Until(ctx, begun, e.observer())
	e.EndLive()
	e.onInterrupt("")
	if err != nil {
		return r.outOfSight(begun.Value.ID, err)
	}
	err = e.outcome(ended.Value)
	if err != nil && !errors.Is(err, errReported) {
		return err
	}
	return errors.Join(err, e.Document(ended.Raw))
}

func (r *reach) outOfSight(id string, err error) error {
	return fmt.Errorf("operation %s is out of sight, it may go on (to watch it: %s): %w", id, r.watching(id), err)
}

func (r *reach) watching(id string) string { return r.again("pg-operation", id, "--wait") }

func (r *reach) partingLine(of broker.Operation) string {
	return fmt.Sprintf("The %s goes on without this command. To watch it: %s; to stop it: %s",
		spoken(of.Kind), r.watching(of.ID), r.again("cancel-pg-operation", of.ID))
}

func spoken(kind string) string { return strings.ReplaceAll(kind, "_", " ") }

// observer shows how far an operation is, and says once why a try has failed that will be repeated.
func (e *Env) observer() func(broker.Operation) {
	var told time.Time
	return func(operation broker.Operation) {
		if next := operation.NextTryAt; next != nil && operation.Error != nil && !next.Equal(told) && !operation.Ended() {
			told = *next
			e.Warn("%s; the next try is at %s", operation.Error.Detail, clock(*next))
		}
		e.Live(progressLine(operation))
	}
}

// progressLine is one line: phase, bytes, percent, time left, as far as they are known.
func progressLine(operation broker.Operation) string {
	phase := operation.Phase
	if phase == "" {
		phase = operation.State
	}
	parts := []string{phase}
	progress := operation.Progress
	if bytes := progress.Bytes; bytes != nil {
		part := size(*bytes)
		if total := progress.TotalBytes; total != nil {
			part += " of " + size(*total)
		}
		parts = append(parts, part)
	}
	if progress.Percent != nil {
		parts = append(parts, fmt.Sprintf("%.0f%%", *progress.Percent))
	}
	if eta := progress.ETAMillis; eta != nil {
		left := time.Duration(*eta) * time.Millisecond
		parts = append(parts, "ETA "+left.Round(time.Second).String())
	}
	return strings.Join(parts, "   ")
}

// outcome says how an operation ended; only success is none.
func (e *Env) outcome(ended broker.Operation) error {
	if ended.State != "succeeded" {
		e.Failed(failureLines(ended)...)
		return errReported
	}
	show, err := e.result(ended)
	if err != nil {
		return err
	}
	e.OK()
	show()
	return nil
}

func failureLines(ended broker.Operation) []string {
	if ended.Error == nil {
		return []string{fmt.Sprintf("the %s was %s", spoken(ended.Kind), ended.State), "operation: " + ended.ID}
	}
	failure := ended.Error
	lines := []string{failure.Detail}
	for _, list := range [][]string{failure.Errors, failure.Differences, failure.LeftOut} {
		for _, each := range list {
			lines = append(lines, "   "+each)
		}
	}
	if failure.MissingBytes != nil {
		lines = append(lines, "missing: "+size(*failure.MissingBytes))
	}
	return append(lines, "operation: "+ended.ID)
}

// result reads what an operation has brought about, to be shown.
func (e *Env) result(ended broker.Operation) (show func(), err error) {
	switch ended.Kind {
	case "backup", "upload":
		var made struct {
			broker.Backup
			LeftOut []string `json:"left_out"`
		}
		if err := json.Unmarshal(ended.Result, &made); err != nil {
			return nil, errors.Join(errors.New("the broker's result cannot be read"), err)
		}
		return func() {
			e.Say("")
			e.Fields(briefly(made.Backup))
			e.leftOut("A restore leaves out of this archive:", made.LeftOut)
		}, nil
	case "restore", "undo_restore":
		var restored broker.Restored
		if err := json.Unmarshal(ended.Result, &restored); err != nil {
			return nil, errors.Join(errors.New("the broker's result cannot be read"), err)
		}
		return func() {
			e.Say("")
			e.Fields(restoredFields(restored))
			e.leftOut("Left out of the database:", restored.LeftOut)
		}, nil
	}
	return func() {}, nil
}

func (e *Env) leftOut(title string, names []string) {
	if len(names) == 0 {
		return
	}
	e.Say("")
	e.Warn("%s", title+"\n   "+strings.Join(names, "\n   "))
}

func restoredFields(restored broker.Restored) []terminalField {
	fields := []terminalField{}
	if restored.Backup != nil {
		fields = append(fields, field("backup", restored.Backup.Name))
	}
	fields = append(fields, field("rows", number(restored.Rows)), field("tables", number(restored.Tables)))
	if outage := restored.OutageMillis; outage != nil {
		fields = append(fields, field("outage", (time.Duration(*outage)*time.Millisecond).String()))
	}
	if point := restored.RestorePoint; point != nil {
		fields = append(fields,
			field("replaced", size(point.DatabaseBytes)),
			field("undo until", clock(point.ExpiresAt)))
	}
	return fields
}
