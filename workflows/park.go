package workflows

import (
	"cmp"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
)

// park waits for what a person decides of a dead event, and does it. Now and then
// it looks whether somebody has decided without it.
func (e *event) park(ctx workflow.Context, took Took) (Took, error) {
	if err := e.failed(ctx, StatusParked, took); err != nil {
		return took, err
	}
	e.person.calm() // a signal for an attempt that was the last one
	for end := workflow.Now(ctx).Add(e.Plan.ParkFor.Duration()); ; {
		decided, err := e.person.decision(ctx, max(0, min(lookEvery, end.Sub(workflow.Now(ctx)))))
		if err != nil {
			return took, err
		}
		out, err := e.resolve(ctx, decided)
		switch {
		case err != nil:
			return took, err
		case out.Refused != "": // somebody else was faster, and the batch lane has it
			return Took{Gone: true}, nil
		case decided.signal == SignalDiscard:
			return Took{Verdict: verdictDiscarded}, nil
		case decided.signal == SignalReplay:
			e.Turn = out.Turn
			if err := e.again(ctx, decided.By); err != nil {
				return took, err
			}
			return e.carefully(ctx)
		case !workflow.Now(ctx).Before(end) && !e.person.hasDecided(): // nobody came: the dead letter stays
			return took, dead(took)
		}
	}
}

// lookEvery is how long a decision that a person has written into the database
// goes unnoticed by the workflow of a dead event.
const lookEvery = time.Hour

// resolve does what a person has decided of a dead event; without a decision it
// looks whether the event is dead still.
func (e *event) resolve(ctx workflow.Context, d decided) (activities.ResolveOut, error) {
	in := activities.ResolveIn{EventIn: e.EventIn, By: d.By, Note: d.Note}
	switch d.signal {
	case SignalReplay:
		return do(ctx, "by "+d.By, timeouts{whole: e.lease()}, e.actions.Replay, in)
	case SignalDiscard:
		return do(ctx, "by "+d.By, timeouts{whole: e.lease()}, e.actions.Discard, in)
	default:
		return do(ctx, "is it dead still", timeouts{whole: e.lease()}, e.actions.Look, in)
	}
}

// again shows that a dead event is being delivered after all.
func (e *event) again(ctx workflow.Context, by string) error {
	e.state = EventState{Status: StatusDelivering}
	e.tell(ctx, "Put back by "+cmp.Or(by, "somebody")+".")
	if !e.Plan.Attributes {
		return nil
	}
	return workflow.UpsertTypedSearchAttributes(ctx, AttributeStatus.ValueSet(StatusDelivering))
}
