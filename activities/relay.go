package activities

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

// Relay is the family of activities that work for the pollers of one pipeline.
type Relay struct {
	Pipeline *pipeline.Pipeline
	Rows     Rows
	// Database identifies the database that the pipeline's table is in.
	Database string
	// Shards is how many pollers share the slots.
	Shards int
	// LongPoll is how long Fetch waits at most.
	LongPoll time.Duration
	// Slice and Linger are those of pipeline.Drain.
	Slice, Linger time.Duration
	// Lane says which events Fetch hands to workflows. The zero value hands none.
	Lane Lane
}

// Lane is what the poller is to know of the workflow lane.
type Lane struct {
	// Most is how many events are handed over at once; 0 for none.
	Most int
	// Calm is how many due events a calm shard has at most; with more, all take
	// the batch lane. 0 for no such limit.
	Calm int
	// Plan is what workflows are to do with events.
	Plan Plan
}

// Plan is what a workflow is to do with its event. It comes from the worker's
// configuration, with the event.
type Plan struct {
	// Steps before the handler.
	Steps []Step `json:"steps,omitempty"`
	// Lease bounds what is not a step.
	Lease Milliseconds `json:"lease"`
	// ParkFor is how long the workflow of a dead event waits for a person.
	ParkFor Milliseconds `json:"park_for"`
	// Inbox says that events are applied, and not published.
	Inbox bool `json:"inbox,omitempty"`
	// Handler is how long the handler may take with one event, what is around it
	// included, beyond two leases.
	Handler Milliseconds `json:"handler,omitempty"`
	// Attributes says that the namespace has the search attributes.
	Attributes bool `json:"attributes,omitempty"`
}

// Step is a step as a workflow sees it.
type Step struct {
	Name    string       `json:"name"`
	Timeout Milliseconds `json:"timeout"`
	Long    bool         `json:"long,omitempty"`
}

// Milliseconds is a duration that is short in a history.
type Milliseconds int64

// Duration gives it as Go's own.
func (m Milliseconds) Duration() time.Duration { return time.Duration(m) * time.Millisecond }

// Rows is what the activities ask of the table beside the pipeline's own ports.
type Rows interface {
	// Due gives those of slots in which something is due.
	Due(ctx context.Context, slots []int) ([]int, error)
	// Wake blocks until something may be due in some of slots, and tells in
	// which, or until ctx ends.
	Wake(ctx context.Context, slots []int) ([]int, error)
	// Pause and Resume are idempotent.
	Pause(ctx context.Context, by, reason string) error
	Resume(ctx context.Context, by string) error
}

// Poller says for whom an activity works.
type Poller struct {
	Shard int `json:"shard"`
	// Database is the identity of the database that the poller was started for.
	Database string `json:"database"`
}

const (
	// heartbeatEvery is how often activities tell that they live; the SDK lets one
	// through when 0.8 of the heartbeat timeout is over.
	heartbeatEvery = 3 * time.Second
	// maxHeartbeat is how long an activity may not be heard of. With a shorter
	// lease it is the lease: a killed worker's slots move when both are over.
	maxHeartbeat = 10 * time.Second
)

// FetchIn asks whether there is work.
type FetchIn struct {
	Poller
}

// FetchOut says whether there is work, and brings the configuration: it
// reaches a workflow in no other way.
type FetchOut struct {
	Due bool `json:"due"`
	// Gone says that there are fewer shards now: the poller ends.
	Gone bool `json:"gone"`
	// Drain bounds one Drain activity.
	Drain time.Duration `json:"drain"`
	// Heartbeat is how long an activity may not be heard of before it is started
	// elsewhere.
	Heartbeat time.Duration `json:"heartbeat"`
	// Turns are events that were handed over: each is to get a workflow.
	Turns []pipeline.Turn `json:"turns,omitempty"`
	// Plan is for the workflows of Turns.
	Plan *Plan `json:"plan,omitempty"`
}

// Fetch waits until something is due in the shard's slots, for LongPoll at
// most, and returns early when the worker stops. What it hands over is leased
// already.
func (r *Relay) Fetch(ctx context.Context, in FetchIn) (FetchOut, error) {
	out := FetchOut{Drain: r.Slice + r.Pipeline.StepsTimeout() + r.Lane.Plan.Handler.Duration() + 2*r.Pipeline.Lease, Heartbeat: min(maxHeartbeat, r.Pipeline.Lease)}
	slots, err := r.slots(in.Poller)
	if err != nil {
		return out, fail(err)
	}
	if len(slots) == 0 {
		out.Gone = true
		return out, nil
	}
	defer heartbeats(ctx, func() any { return nil })()
	_, err = r.Pipeline.WaitDue(ctx, pipeline.Wait{
		Slots: slots, For: r.LongPoll, Stop: activity.GetWorkerStopChannel(ctx),
		Due: func(ctx context.Context, slots []int) ([]int, error) { return r.look(ctx, slots, &out) },
		Wake: func(ctx context.Context) error {
			_, err := r.Rows.Wake(ctx, slots)
			return err
		},
	})
	if len(out.Turns) > 0 {
		return out, nil // they are leased, whatever came after that
	}
	return out, fail(err)
}

// look looks for due events, and hands them to workflows if they are few. It
// returns the slots in which something was due that somebody has to see to.
func (r *Relay) look(ctx context.Context, slots []int, out *FetchOut) ([]int, error) {
	due, err := r.Rows.Due(ctx, slots)
	if out.Due = len(due) > 0; !out.Due || err != nil || r.Lane.Most == 0 {
		return due, err
	}
	at := time.Now()
	assigned, backlog, err := r.Pipeline.Assign(ctx, pipeline.Wave{Slots: due, Most: r.Lane.Most, Calm: r.Lane.Calm})
	out.Due = backlog
	for _, e := range assigned {
		out.Turns = append(out.Turns, pipeline.TurnOf(e, at))
	}
	if len(out.Turns) > 0 {
		out.Plan = &r.Lane.Plan
	}
	if len(out.Turns) == 0 && !backlog {
		return nil, err // what is due waits for what is in hand
	}
	return due, err
}

// gathering is how long the start of a wave of workflows takes on a small server.
const gathering = 60 * time.Millisecond

// Gather waits for a moment, in which what a poller has begun can come together.
func (r *Relay) Gather(ctx context.Context, _ Poller) (struct{}, error) {
	select {
	case <-ctx.Done():
	case <-time.After(gathering):
	}
	return struct{}{}, nil
}

// DrainIn asks for the backlog of a shard to be worked off.
type DrainIn struct {
	Poller
}

// DrainOut is what was done.
type DrainOut struct {
	Reason pipeline.Reason `json:"reason"`
	pipeline.Counts
}

// Drain works the backlog off until it is calm, for Slice at most, and ends in
// order when the worker stops.
func (r *Relay) Drain(ctx context.Context, in DrainIn) (DrainOut, error) {
	slots, err := r.slots(in.Poller)
	if err != nil {
		return DrainOut{}, fail(err)
	}
	if len(slots) == 0 { // begun on a worker that knew more shards
		return DrainOut{Reason: pipeline.Calm}, nil
	}
	var progress atomicCounts
	defer heartbeats(ctx, func() any { return progress.load() })()
	report, err := r.Pipeline.Drain(ctx, pipeline.Drain{
		Slots: slots, Slice: r.Slice, Linger: r.Linger, Stop: activity.GetWorkerStopChannel(ctx), Count: progress.store,
		Wake: func(ctx context.Context) ([]int, error) { return r.Rows.Wake(ctx, slots) },
	})
	return DrainOut{Reason: report.Reason, Counts: report.Counts}, fail(err)
}

// SetPausedIn asks for the pipeline to be paused or to go on.
type SetPausedIn struct {
	Poller
	Paused bool   `json:"paused"`
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// SetPausedOut is empty: what is written is read by each fetch.
type SetPausedOut struct{}

// SetPaused writes the pause where every worker reads it: in the database.
func (r *Relay) SetPaused(ctx context.Context, in SetPausedIn) (out SetPausedOut, err error) {
	if _, err := r.slots(in.Poller); err != nil {
		return out, fail(err)
	}
	if in.Paused {
		return out, fail(r.Rows.Pause(ctx, in.By, in.Reason))
	}
	return out, fail(r.Rows.Resume(ctx, in.By))
}

// slots are those of the poller's shard; none if the shard is no more.
func (r *Relay) slots(p Poller) ([]int, error) {
	if p.Database != r.Database {
		return nil, &WrongDatabaseError{Poller: p.Database, Worker: r.Database}
	}
	return ShardSlots(p.Shard, r.Shards), nil
}

// ShardSlots are the slots of a shard; none if there is no such shard.
func ShardSlots(shard, shards int) []int {
	if shard >= shards {
		return nil
	}
	var slots []int
	for slot := shard; slot < omnibox.Slots; slot += shards {
		slots = append(slots, slot)
	}
	return slices.Clip(slots)
}

// WrongDatabaseError says that a poller was started for another database than
// the worker's: two environments share a namespace and an id prefix.
type WrongDatabaseError struct{ Poller, Worker string }

func (e *WrongDatabaseError) Error() string {
	return fmt.Sprintf("poller was started for database %s, but this worker's database is %s: two environments share a Temporal namespace; "+
		"give one of them another temporal.id_prefix or namespace", e.Poller, e.Worker)
}
