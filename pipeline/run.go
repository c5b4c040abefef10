package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/omnibox-go/omnibox"
)

// step is a Step with its Spec read once.
type step struct {
	Step
	Spec
	log *slog.Logger
}

func newStep(s Step, timeout time.Duration, log *slog.Logger) step {
	spec := s.Spec()
	if spec.Timeout == 0 {
		spec.Timeout = timeout
	}
	return step{Step: s, Spec: spec, log: log}
}

type stepDone struct {
	event  omnibox.Event
	result Result
	err    error
}

// run gives the step a copy of the event and takes over what it changed, so
// that a run which outlives its timeout cannot touch the event any more: not
// even the bytes of its payload.
func (s step) run(ctx context.Context, e *omnibox.Event) (Result, error) {
	timedOut := omnibox.Transient(fmt.Errorf("step %s timed out after %s", s.Name, s.Timeout))
	stepCtx, cancel := context.WithTimeoutCause(ctx, s.Timeout, timedOut)
	defer cancel()
	done := make(chan stepDone, 1)
	its := *e
	its.Headers, its.Body = maps.Clone(e.Headers), bytes.Clone(e.Body)
	if raw, ok := e.Payload.(json.RawMessage); ok {
		its.Payload = slices.Clone(raw)
	}
	go func() { done <- s.try(stepCtx, its) }()
	select {
	case d := <-done:
		switch {
		case d.err == nil:
			adopt(e, &d.event)
			return d.result, nil
		case stepCtx.Err() != nil: // it may have seen the deadline first and called it by its own name
			return Stop, s.overrun(ctx, timedOut)
		}
		return Stop, s.failure(e, d)
	case <-stepCtx.Done():
		return Stop, s.overrun(ctx, timedOut)
	}
}

// adopt takes over what a step has changed, but for what tells the event from
// others and what belongs to the store.
func adopt(e, changed *omnibox.Event) {
	old := *e
	*e = *changed
	e.ID, e.Topic, e.Key = old.ID, old.Topic, old.Key
	e.CreatedAt, e.Seq, e.Fence = old.CreatedAt, old.Seq, old.Fence
	e.Attempts, e.MaxAttempts, e.Replays = old.Attempts, old.MaxAttempts, old.Replays
	e.Fetches, e.Suspect, e.HoldsKey, e.Escalated = old.Fetches, old.Suspect, old.HoldsKey, old.Escalated
	e.Final = old.Final
}

// failure is the error of a step that was not cancelled by us. If it calls
// itself cancelled all the same, it is a failure like any other: otherwise the
// event would come again at once, uncounted, for ever. The step may quote a
// payload that it has made and that is dropped with its failure.
func (s step) failure(e *omnibox.Event, d stepDone) error {
	err := d.err
	if omnibox.ClassOf(err) == omnibox.ClassCancelled {
		err = omnibox.Transient(errors.New(err.Error()))
	}
	return fmt.Errorf("step %s: %w", s.Name, contentOf(&d.event).hide(err, e))
}

// overrun tells a step's own timeout from the end of everything, which is no
// event's failure.
func (s step) overrun(ctx context.Context, timedOut error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("step %s: %w", s.Name, omnibox.ErrNotSent)
	}
	return timedOut
}

func (s step) try(ctx context.Context, e omnibox.Event) (d stepDone) {
	defer func() {
		if r := recover(); r != nil {
			// what was thrown may hold the payload: its type is all that is told
			s.log.ErrorContext(ctx, "step panicked", slog.String("step", s.Name), slog.String("event", e.ID.String()),
				slog.String("panic", fmt.Sprintf("%T", r)), slog.String("stack", string(debug.Stack())))
			d.err = omnibox.Transient(fmt.Errorf("panicked with a %T", r))
		}
	}()
	d.result, d.err = s.Run(ctx, &e)
	switch raw, err := encode(e.Payload); {
	case err != nil:
		e.Payload, d.err = nil, unencodable(d.err, err)
	case raw != nil:
		e.Payload = raw
	}
	d.event = e
	if d.err == nil && d.result != Next && d.result != Skip && d.result != Stop {
		d.err = omnibox.Permanent(fmt.Errorf("returned %d, which is none of Next, Skip and Stop", d.result))
	}
	if d.err != nil {
		_ = d.err.Error() // may panic too, if it is a nil pointer
	}
	return d
}

// runSteps takes one event through the steps from up to, but not, to. Read is what
// the event said when it was read, which no error and no log may quote either.
func (p *Pipeline) runSteps(ctx context.Context, e *omnibox.Event, read content, from, to int) (Result, error) {
	for _, s := range p.steps[from:to] {
		result, err := s.run(ctx, e)
		if err == nil && result == Next {
			continue
		}
		err = read.hide(err, e)
		if err != nil && omnibox.ClassOf(err) == omnibox.ClassUnreachable {
			p.Log.WarnContext(ctx, "step cannot reach what it needs", slog.String("error", Redact(err.Error(), e)))
		}
		return result, err
	}
	return Next, nil
}

// sendAfter is how long the steps may keep those waiting that have passed them:
// then what is ready is handled, and the rest of the batch goes on after that.
const sendAfter = 100 * time.Millisecond

// runBatch takes events, given in order, through steps and handler, and gives
// the outcomes of the first of them in the same order: all, unless the steps are
// slow. Once an event of a key does not succeed, later ones of the key are
// released untried; once the drain stops, all that are left are.
func (d *drain) runBatch(ctx context.Context, events []*omnibox.Event) []omnibox.Outcome {
	outcomes := make([]omnibox.Outcome, 0, len(events))
	ready := make([]*omnibox.Event, 0, len(events))
	read := make([]content, 0, len(events)) // what was ready, before the steps
	at := make([]int, 0, len(events))
	behind := map[omnibox.OrderKey]bool{}
	for began, i := time.Now(), 0; i < len(events) && (len(ready) == 0 || time.Since(began) < sendAfter); i++ {
		e := events[i]
		o, pass, before := released(e), false, contentOf(e)
		if d.stopped.Err() == nil && !behind[e.OrderKey()] {
			o, pass = d.stepsOutcome(ctx, e, before)
		}
		switch {
		case pass:
			ready, read, at = append(ready, e), append(read, before), append(at, i)
		case blocksKey(o):
			behind[e.OrderKey()] = true
		}
		outcomes = append(outcomes, o)
	}
	for i, err := range d.callHandler(ctx, ready, read) {
		outcomes[at[i]] = d.Retry.Decide(ready[i], err, time.Now())
	}
	return releaseBehind(outcomes)
}

// stepsOutcome takes an event through the steps. It is to be handled if pass is
// true, else the outcome is the event's.
func (d *drain) stepsOutcome(ctx context.Context, e *omnibox.Event, read content) (o omnibox.Outcome, pass bool) {
	result, err := d.runSteps(ctx, e, read, 0, len(d.steps))
	switch {
	case err != nil:
		o = d.Retry.Decide(e, err, time.Now())
		if omnibox.ClassOf(err) == omnibox.ClassUnreachable { // what a step needs has no breaker: others try later
			d.stop(ended{Unreachable})
		}
		return o, false
	case result == Skip:
		return omnibox.Outcome{Event: e, Verdict: omnibox.Skipped, Attempts: e.Attempts}, false
	case result == Stop:
		d.stop(ended{StepStop})
		return released(e), false
	}
	return omnibox.Outcome{}, true
}

// releaseBehind takes back what was decided of events behind one of their key
// that the handler failed: an event that failed in a step before the handler was
// called would else hold the key, or count a failure, before its turn.
func releaseBehind(outcomes []omnibox.Outcome) []omnibox.Outcome {
	var failed map[omnibox.OrderKey]bool
	for i, o := range outcomes {
		switch {
		case o.Verdict == omnibox.Completed:
		case failed[o.Event.OrderKey()]:
			outcomes[i] = released(o.Event)
		case blocksKey(o):
			if failed == nil {
				failed = map[omnibox.OrderKey]bool{}
			}
			failed[o.Event.OrderKey()] = true
		}
	}
	return outcomes
}

// callHandler lets the handler work until the lease comes to its end: as it is now,
// or as it will be when it has been extended, if the handler is bounded. What it had
// to leave for that reason is nobody's failure. Read are the events before the
// steps.
func (d *drain) callHandler(ctx context.Context, events []*omnibox.Event, read []content) []error {
	if len(events) == 0 {
		return nil
	}
	if !d.covered() { // the steps took too long: no fault of the destination
		d.stop(ended{LeaseLost})
		return slices.Repeat([]error{omnibox.ErrNotSent}, len(events))
	}
	handleCtx, end := d.underLease(ctx)
	errs := d.Handler.Handle(handleCtx, events)
	over := handleCtx.Err() != nil
	end()
	for i, err := range errs {
		errs[i] = read[i].hide(err, events[i])
	}
	d.avoidUnreachable(ctx, events, errs)
	if !over {
		return errs
	}
	for i, err := range errs {
		if _, classed := errors.AsType[*omnibox.Error](err); err != nil && !classed {
			errs[i] = fmt.Errorf("%w: %w", omnibox.ErrNotSent, err)
		}
	}
	return errs
}

func (d *drain) underLease(ctx context.Context) (context.Context, func()) {
	if !d.Bounded {
		return context.WithDeadlineCause(ctx, d.lease.until(), errLeaseOver)
	}
	ctx, stop := d.lease.under(ctx)
	return ctx, func() { stop(nil) }
}
