package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/activities"
)

// Took is what a part of the work on an event came to.
type Took = activities.Took

// EventInput is what the workflow of an event starts with.
type EventInput struct {
	activities.EventIn
	Pipeline string          `json:"pipeline"`
	Plan     activities.Plan `json:"plan"`
	// Found is how the batch lane settled a failure of the event; empty if it was
	// handed over without one.
	Found Took `json:"found,omitzero"`
}

// EventState is what the query "status" of an event answers.
type EventState struct {
	Status   string        `json:"status"`
	Attempts int           `json:"attempts"`
	Class    omnibox.Class `json:"class,omitempty"`
	Error    string        `json:"error,omitempty"`
}

// EventResult is how the work of an event's workflow ended.
type EventResult struct {
	// Verdict is completed or skipped; discarded by a person; or left, when the
	// event is in other hands and goes on there.
	Verdict omnibox.Verdict `json:"verdict"`
	By      string          `json:"by,omitempty"`
}

// Verdicts of an EventResult that are not an outcome of the event.
const (
	verdictLeft      = omnibox.Verdict("left to the batch lane")
	verdictDiscarded = omnibox.Verdict("discarded")
)

// TypeDead is the type of the error with which the workflow of a dead event ends.
const TypeDead = "dead"

// event is one running Event.
type event struct {
	EventInput
	state   EventState
	person  *person
	actions *activities.Events // nil: for its method references only
}

// Event takes one event through the steps, the handler, and the commit. While all
// is well, that is done by local activities. An event that fails is retried by
// activities of their own, which the UI shows with attempt and last error. A dead
// event waits for a person, who may send a signal: replay or discard.
//
// The row is the truth: what the workflow does it does with the lease of the row,
// and when it has lost that it ends.
func Event(ctx workflow.Context, in EventInput) (EventResult, error) {
	e := &event{EventInput: in, state: EventState{Status: statusOf(in.Found)}}
	if err := workflow.SetQueryHandler(ctx, QueryStatus, func() (EventState, error) { return e.state, nil }); err != nil {
		return EventResult{}, err
	}
	e.person = listenToPerson(ctx)
	took, err := in.Found, error(nil)
	if took.Verdict == "" {
		took, err = e.quickly(ctx)
	}
	for err == nil {
		switch {
		case took.Gone:
			return EventResult{Verdict: verdictLeft}, nil
		case took.Verdict == omnibox.Retry:
			took, err = e.retry(ctx, took)
		case took.Verdict == omnibox.Dead && !took.Parked:
			if err := e.upsert(ctx, StatusDead, took.Class); err != nil {
				return EventResult{}, err
			}
			return EventResult{}, dead(took)
		case took.Verdict == omnibox.Dead:
			took, err = e.park(ctx, took)
		default:
			return EventResult{Verdict: took.Verdict, By: e.person.by}, nil
		}
	}
	return EventResult{}, err
}

// retry waits for the next attempt, or for a person who does not want to wait.
func (e *event) retry(ctx workflow.Context, took Took) (Took, error) {
	if err := e.failed(ctx, StatusRetrying, took); err != nil {
		return took, err
	}
	if err := e.person.retryNowOr(ctx, took.Delay); err != nil {
		return took, err
	}
	return e.carefully(ctx)
}

// failed shows a failure to people.
func (e *event) failed(ctx workflow.Context, status string, took Took) error {
	e.state = EventState{Status: status, Attempts: took.Attempts, Class: took.Class, Error: took.Error}
	if status == StatusParked {
		e.tell(ctx, fmt.Sprintf("Dead (%s) after attempt %d: %s\n\nWaits until %s UTC for a signal: **replay** or **discard**.",
			took.Class, took.Attempts, took.Error, workflow.Now(ctx).Add(e.Plan.ParkFor.Duration()).UTC().Format(time.DateTime)))
	} else {
		e.tell(ctx, fmt.Sprintf("Attempt %d failed (%s): %s\n\nWhat came of later ones is among the pending activities. The signal **retry-now** starts the next one at once.",
			took.Attempts, took.Class, took.Error))
	}
	return e.upsert(ctx, status, took.Class)
}

func (e *event) tell(ctx workflow.Context, text string) {
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("Event **%s** of pipeline %s, %s topic %s with key %s.\n\n%s",
		e.Turn.Type, e.Pipeline, e.way(), e.Turn.Topic, e.Turn.Key, text))
}

// way is which way the event goes.
func (e *event) way() string {
	if e.Plan.Inbox {
		return "from"
	}
	return "to"
}

// handling bounds the handler, and the steps if they have to run again.
func (e *event) handling() time.Duration {
	whole := 2*e.lease() + e.Plan.Handler.Duration()
	for _, s := range e.Plan.Steps {
		whole += s.Timeout.Duration()
	}
	return whole
}

func (e *event) lease() time.Duration { return e.Plan.Lease.Duration() }

// dead is how the workflow of a dead event ends.
func dead(took Took) error {
	return temporal.NewNonRetryableApplicationError(
		fmt.Sprintf("event is dead (%s): %s; its dead letter can be replayed with `omnibox dead replay`", took.Class, took.Error), TypeDead, nil)
}
