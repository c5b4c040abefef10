package pipeline

import (
	"context"
	"time"

	"github.com/omnibox-go/omnibox"
)

// Result says how a pipeline goes on after a step.
type Result int

// The results of a step.
const (
	// Next goes on with the next step.
	Next Result = iota
	// Skip completes the event without the steps that remain.
	Skip
	// Stop ends the batch: this event and those behind it are released,
	// uncounted, and come again.
	Stop
)

// DefaultStepTimeout bounds one run of a step that names no timeout.
const DefaultStepTimeout = 30 * time.Second

// Spec names and bounds a step.
type Spec struct {
	// Name is shown to people: in metrics, errors, and the Temporal UI.
	Name string
	// Timeout of one run. Defaults to DefaultStepTimeout.
	Timeout time.Duration
	// Long makes the step an activity of its own in the workflow lane.
	Long bool
}

// Step is a stage of a pipeline, run for each event before the handler. It
// runs again on every attempt, so it must be idempotent. It may change the
// event that later steps see, except ID, Topic and Key; a Payload that it sets
// becomes JSON at once. An error means what its omnibox.Class says.
//
// Events of one claim pass a step one after the other; other claims use the
// same step at the same time. A run that outlives its timeout is given up on:
// what it still does to the event is not seen.
type Step interface {
	Spec() Spec
	Run(ctx context.Context, e *omnibox.Event) (Result, error)
}

// Finisher wants to know how each event ended. Finish is called
// once the outcome is in the row; took is the time since the event was fetched.
type Finisher interface {
	Finish(ctx context.Context, o omnibox.Outcome, took time.Duration)
}

// Handler does the work of a pipeline: it publishes, or applies.
type Handler interface {
	// Handle handles events, given in order, and returns one error for each;
	// nil means done. Once an event of a key fails, later events of the same
	// topic and key are not handled and get omnibox.ErrNotSent. It starts
	// nothing after ctx has ended, which is when the lease does at the latest. If
	// it panics, it is called again with each event alone.
	Handle(ctx context.Context, events []*omnibox.Event) []error
	// Probe returns nil if the destination can be reached. While it can, events
	// that it could not reach are left out for a while, with their keys; while it
	// cannot, everything waits.
	Probe(ctx context.Context) error
}
