package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
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
// that a run which outlives its timeout cannot touch the event any more.
func (s step) run(ctx context.Context, e *omnibox.Event) (Result, error) {
	timedOut := omnibox.Transient(fmt.Errorf("step %s timed out after %s", s.Name, s.Timeout))
	stepCtx, cancel := context.WithTimeoutCause(ctx, s.Timeout, timedOut)
	defer cancel()
	done := make(chan stepDone, 1)
	go func() { done <- s.try(stepCtx, *e) }()
	select {
	case d := <-done:
		// the step may have seen the deadline first and called it by its own name
		if d.err != nil && stepCtx.Err() != nil {
			return Stop, s.overrun(ctx, timedOut)
		}
		if d.err != nil {
			return d.result, fmt.Errorf("step %s: %w", s.Name, d.err)
		}
		d.event.ID, d.event.Topic, d.event.Key = e.ID, e.Topic, e.Key
		*e = d.event
		return d.result, nil
	case <-stepCtx.Done():
		return Stop, s.overrun(ctx, timedOut)
	}
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
	d.event = e
	return d
}

// runSteps takes one event through all steps.
func (p *Pipeline) runSteps(ctx context.Context, e *omnibox.Event) (Result, error) {
	for _, s := range p.steps {
		if result, err := s.run(ctx, e); err != nil || result != Next {
			return result, err
		}
	}
	return Next, nil
}

// runBatch takes events, given in order, through steps and handler, and gives
// one outcome for each in the same order. Once an event of a key does not
// succeed, later ones of the key are released untried; once the drain stops,
// all that are left are.
func (d *drain) runBatch(ctx context.Context, events []*omnibox.Event) []omnibox.Outcome {
	outcomes := make([]omnibox.Outcome, len(events))
	ready := make([]*omnibox.Event, 0, len(events))
	at := make([]int, 0, len(events))
	behind := map[omnibox.OrderKey]bool{}
	for i, e := range events {
		if d.stopped.Err() != nil || behind[e.OrderKey()] {
			outcomes[i] = d.Retry.Decide(e, omnibox.ErrNotSent, time.Now())
			continue
		}
		result, err := d.runSteps(ctx, e)
		switch {
		case err != nil:
			outcomes[i] = d.Retry.Decide(e, err, time.Now())
			behind[e.OrderKey()] = true
		case result == Skip:
			outcomes[i] = omnibox.Outcome{Event: e, Verdict: omnibox.Skipped, Attempts: e.Attempts}
		case result == Stop:
			d.stop(ended{StepStop})
			outcomes[i] = d.Retry.Decide(e, omnibox.ErrNotSent, time.Now())
		default:
			ready, at = append(ready, e), append(at, i)
		}
	}
	for i, err := range d.callHandler(ctx, ready) {
		outcomes[at[i]] = d.Retry.Decide(ready[i], err, time.Now())
		if err != nil && omnibox.ClassOf(err) == omnibox.ClassUnreachable {
			d.Breaker.Trip(Redact(err.Error(), ready[i]))
		}
	}
	return outcomes
}

// callHandler lets the handler work until the lease, as it is now, comes to its
// end. What it had to leave for that reason is nobody's failure.
func (d *drain) callHandler(ctx context.Context, events []*omnibox.Event) []error {
	if len(events) == 0 {
		return nil
	}
	ctx, cancel := context.WithDeadlineCause(ctx, d.claim.Deadline(), errLeaseOver)
	defer cancel()
	errs := d.Handler.Handle(ctx, events)
	if ctx.Err() == nil {
		return errs
	}
	for i, err := range errs {
		if _, classed := errors.AsType[*omnibox.Error](err); err != nil && !classed {
			errs[i] = fmt.Errorf("%w: %w", omnibox.ErrNotSent, err)
		}
	}
	return errs
}
