package commands

import (
	"context"

	"postgresql-broker/cf-plugin/internal/broker"
)

// Operations that a list shows at most.
const listedOperations = 50

var listOperationsCommand = Command{
	Name:      "pg-operations",
	Help:      "List what the broker has done with a PostgreSQL service instance",
	Arguments: "SERVICE_INSTANCE [--guid] [--json]",
	Examples:  []string{"my-db", "my-db --json"},
	new:       func() runner { return &listOperations{} },
}

type listOperations struct {
	onInstance
	Positional struct {
		Instance string `positional-arg-name:"SERVICE_INSTANCE"`
	} `positional-args:"yes" required:"yes"`
}

func (o *listOperations) run(ctx context.Context, env *Env) error {
	r, err := env.instance(ctx, o.onInstance, o.Positional.Instance)
	if err != nil {
		return err
	}
	env.Say("Getting operations of service instance %s %s...", env.Name(r.name), r.where)
	listed, err := r.Operations(ctx, r.guid, listedOperations)
	if err != nil {
		return err
	}
	env.Say("")
	rows := make([][]string, 0, len(listed.Value.Operations))
	for _, each := range listed.Value.Operations {
		rows = append(rows, []string{
			each.ID, spoken(each.Kind), each.State, phaseNow(each), clock(each.CreatedAt), each.RequestedBy.String(),
		})
	}
	if len(rows) == 0 {
		env.Say("No operations found")
	} else {
		env.Table([]string{"id", "kind", "state", "phase", "asked", "by"}, rows)
	}
	if listed.Value.Next != nil {
		env.Say("These are the newest %d.", listedOperations)
	}
	return env.Document(listed.Raw)
}

var showOperationCommand = Command{
	Name:      "pg-operation",
	Help:      "Show an operation, or watch it",
	Arguments: "ID [--wait] [--json]",
	Examples:  []string{"1c9b6f0e-5d3c-4c55-9a53-4f6f0c1a7e01", "1c9b6f0e-5d3c-4c55-9a53-4f6f0c1a7e01 --wait"},
	new:       func() runner { return &showOperation{} },
}

type showOperation struct {
	everywhere
	Wait       bool `long:"wait" description:"Watch it to its end; fail if it fails"`
	Positional struct {
		ID string `positional-arg-name:"ID"`
	} `positional-args:"yes" required:"yes"`
}

func (o *showOperation) run(ctx context.Context, env *Env) error {
	r, err := env.anyBroker(ctx, o.everywhere)
	if err != nil {
		return err
	}
	env.Say("Showing operation %s %s...", env.Name(o.Positional.ID), r.where)
	found, err := r.Operation(ctx, o.Positional.ID)
	if err != nil {
		return err
	}
	if o.Wait {
		env.onInterrupt(r.partingLine(found.Value))
		return env.watch(ctx, r, found)
	}
	env.Say("")
	env.Fields(operationFields(found.Value))
	if found.Value.State == "succeeded" {
		show, err := env.result(found.Value)
		if err != nil {
			return err
		}
		show()
	}
	return env.Document(found.Raw)
}

func operationFields(operation broker.Operation) []terminalField {
	fields := []terminalField{
		field("id", operation.ID),
		field("kind", spoken(operation.Kind)),
		field("state", operation.State),
	}
	if !operation.Ended() {
		fields = append(fields, field("progress", progressLine(operation)))
	}
	if operation.Error != nil {
		fields = append(fields, field("error", operation.Error.Detail))
		for _, list := range [][]string{operation.Error.Errors, operation.Error.Differences, operation.Error.LeftOut} {
			for _, each := range list {
				fields = append(fields, field("", each))
			}
		}
		fields = append(fields, field("missing", sizeOf(operation.Error.MissingBytes)))
	}
	return append(fields,
		field("next try", clockOf(operation.NextTryAt)),
		field("instance", operation.InstanceID),
		field("asked", clock(operation.CreatedAt)),
		field("by", operation.RequestedBy.String()),
		field("started", clockOf(operation.StartedAt)),
		field("ended", clockOf(operation.FinishedAt)),
	)
}

var cancelCommand = Command{
	Name:      "cancel-pg-operation",
	Help:      "Stop an operation and undo what it has begun",
	Arguments: "ID [-f] [--no-wait] [--json]",
	Examples:  []string{"1c9b6f0e-5d3c-4c55-9a53-4f6f0c1a7e01", "1c9b6f0e-5d3c-4c55-9a53-4f6f0c1a7e01 -f"},
	new:       func() runner { return &cancel{} },
}

type cancel struct {
	everywhere
	forced
	waiting
	Positional struct {
		ID string `positional-arg-name:"ID"`
	} `positional-args:"yes" required:"yes"`
}

func (o *cancel) run(ctx context.Context, env *Env) error {
	r, err := env.anyBroker(ctx, o.everywhere)
	if err != nil {
		return err
	}
	id := o.Positional.ID
	found, err := r.Operation(ctx, id)
	if err != nil {
		return err
	}
	if !o.Force {
		sure, err := env.Confirm("Really cancel the " + spoken(found.Value.Kind) + " " + env.Name(id) + " (" + progressLine(found.Value) + ")?")
		if err != nil || !sure {
			return env.declined("Cancel", err)
		}
	}
	env.Say("Cancelling operation %s %s...", env.Name(id), r.where)
	cancelled, err := r.Cancel(ctx, id)
	if err != nil {
		return err
	}
	if !o.NoWait {
		env.onInterrupt("The cancelling goes on without this command. To watch it: " + r.watching(id))
		cancelled, err = r.Until(ctx, cancelled, env.observer())
		env.EndLive()
		env.onInterrupt("")
		if err != nil {
			return r.outOfSight(id, err)
		}
	}
	if err := env.Document(cancelled.Raw); err != nil {
		return err
	}
	if ended := cancelled.Value; ended.Ended() && ended.State != "cancelled" {
		env.Failed("it could not be cancelled any more: the " + spoken(ended.Kind) + " has " + ended.State)
		return errReported
	}
	env.OK()
	return nil
}

// phaseNow is empty when nothing is done any more.
func phaseNow(operation broker.Operation) string {
	if operation.Ended() {
		return ""
	}
	return operation.Phase
}
