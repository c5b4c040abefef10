package activities

import (
	"context"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

// Events is the family of activities that work for the workflows of single
// events. As local activities they return what they came to. As activities of
// their own they fail with the event, after its row says so, and ask for the next
// attempt at the time that was decided.
type Events struct {
	Pipeline *pipeline.Pipeline
	Letters  Letters
	// Settled is told of a slot in which something may be due now, if set.
	Settled func(slot int)
}

// Turn is what a workflow knows of its event.
type Turn = pipeline.Turn

// Took is what a part of the work on an event came to.
type Took = pipeline.Took

// Letters is what a person's signals ask of the table.
type Letters interface {
	// Replay puts a dead event back, leased to its workflow.
	Replay(ctx context.Context, ref omnibox.Ref, by string) (omnibox.Fence, error)
	// Look returns an error of class permanent if nobody has to decide any more.
	Look(ctx context.Context, ref omnibox.Ref) error
	// Discard gives a dead event up.
	Discard(ctx context.Context, ref omnibox.Ref, by, note string) error
}

// EventIn says on which event to work. An event of another database is not found,
// and so left alone.
type EventIn struct {
	Turn pipeline.Turn `json:"turn"`
}

// StepsIn asks for steps from the first up to, but not, another.
type StepsIn struct {
	EventIn
	From int `json:"from"`
	To   int `json:"to"`
}

// PublishIn asks for the steps that are left, from the first, and the handler.
type PublishIn struct {
	EventIn
	From int `json:"from"`
}

// FinishIn tells what became of an event.
type FinishIn struct {
	EventIn
	Took pipeline.Took `json:"took"`
}

// ResolveIn is what a person has decided of a dead event.
type ResolveIn struct {
	EventIn
	By   string `json:"by"`
	Note string `json:"note"`
}

// ResolveOut is what came of it: a new turn after a replay, or the reason why
// nothing did.
type ResolveOut struct {
	Turn    pipeline.Turn `json:"turn"`
	Refused string        `json:"refused,omitempty"`
}

// Steps takes the event through consecutive steps.
func (a *Events) Steps(ctx context.Context, in StepsIn) (pipeline.Took, error) {
	return a.run(ctx, in.EventIn, func(ctx context.Context) (pipeline.Took, error) {
		return a.Pipeline.StepsOne(ctx, in.Turn, in.From, in.To)
	})
}

// Step is the activity of one step.
func (a *Events) Step(n int) func(context.Context, EventIn) (pipeline.Took, error) {
	return func(ctx context.Context, in EventIn) (pipeline.Took, error) {
		return a.Steps(ctx, StepsIn{EventIn: in, From: n, To: n + 1})
	}
}

// Unknown is in the place of a step that this worker does not have: the workflow
// was started by one that had it. The event is released, and goes on in the batch
// lane with the steps that there are.
func (a *Events) Unknown(ctx context.Context, args converter.EncodedValues) (pipeline.Took, error) {
	var in EventIn
	if err := args.Get(&in); err != nil {
		return pipeline.Took{}, fail(err)
	}
	return a.run(ctx, in, func(ctx context.Context) (pipeline.Took, error) {
		return a.Pipeline.LetGo(ctx, in.Turn, omnibox.ClassCancelled)
	})
}

// Apply is Publish where the handler applies the event: people see which of both
// it is.
func (a *Events) Apply(ctx context.Context, in PublishIn) (pipeline.Took, error) {
	return a.Publish(ctx, in)
}

// Publish takes the event through the steps that are left, and to the handler.
func (a *Events) Publish(ctx context.Context, in PublishIn) (pipeline.Took, error) {
	return a.run(ctx, in.EventIn, func(ctx context.Context) (pipeline.Took, error) { return a.Pipeline.HandleOne(ctx, in.Turn, in.From) })
}

// run does a part of the work, and makes of its result what the kind of activity
// asks for.
func (a *Events) run(ctx context.Context, in EventIn, part func(context.Context) (pipeline.Took, error)) (pipeline.Took, error) {
	local := activity.GetInfo(ctx).IsLocalActivity
	if !local {
		ctx = context.WithoutCancel(ctx) // an attempt under way goes on, and is heard of: what ends it is its lease
		defer heartbeats(ctx, func() any { return nil })()
	}
	took, err := part(ctx)
	if err != nil {
		return took, fail(err)
	}
	if took.Gone {
		a.settled(in)
	}
	if local || took.Gone || took.Verdict != omnibox.Retry {
		return took, nil
	}
	return took, temporal.NewApplicationErrorWithOptions(took.Error, string(took.Class), temporal.ApplicationErrorOptions{NextRetryDelay: took.Delay})
}

// Commit records how the event ended.
func (a *Events) Commit(ctx context.Context, in FinishIn) (pipeline.Took, error) {
	took, err := a.Pipeline.FinishOne(ctx, in.Turn, in.Took)
	if err == nil {
		a.settled(in.EventIn)
	}
	return took, fail(err)
}

// DeadLetter gives the event up: its dead letter is written with the row.
func (a *Events) DeadLetter(ctx context.Context, in FinishIn) (pipeline.Took, error) {
	return a.Commit(ctx, in)
}

// Replay puts a dead event back for its workflow to deliver.
func (a *Events) Replay(ctx context.Context, in ResolveIn) (ResolveOut, error) {
	fence, err := a.Letters.Replay(ctx, in.Turn.Ref(), in.By)
	out := ResolveOut{Turn: in.Turn}
	out.Turn.Token, out.Turn.Begun, out.Turn.HoldsKey = fence.Token, 0, false
	return refusedOr(out, err)
}

// Discard gives a dead event up on purpose.
func (a *Events) Discard(ctx context.Context, in ResolveIn) (ResolveOut, error) {
	return refusedOr(ResolveOut{Turn: in.Turn}, a.Letters.Discard(ctx, in.Turn.Ref(), in.By, in.Note))
}

// Look finds out whether a dead event is still waiting for a decision.
func (a *Events) Look(ctx context.Context, in ResolveIn) (ResolveOut, error) {
	return refusedOr(ResolveOut{Turn: in.Turn}, a.Letters.Look(ctx, in.Turn.Ref()))
}

// refusedOr tells a refusal, which no attempt can cure, from other errors.
func refusedOr(out ResolveOut, err error) (ResolveOut, error) {
	if omnibox.ClassOf(err) == omnibox.ClassPermanent {
		out.Refused = err.Error()
		return out, nil
	}
	return out, fail(err)
}

func (a *Events) settled(in EventIn) {
	if a.Settled != nil {
		a.Settled(in.Turn.Slot)
	}
}
