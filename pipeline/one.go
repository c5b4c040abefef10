package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
)

// Turn is the right of a workflow to work on its event. It travels with the
// workflow, from one process to the next.
type Turn struct {
	ID        uuid.UUID `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	Slot      int       `json:"slot"`
	Token     int64     `json:"token"`
	Topic     string    `json:"topic"`
	Key       string    `json:"key"`
	Type      string    `json:"type"`
	// At is when the event was handed to the workflow, in milliseconds of Unix
	// time.
	At int64 `json:"at"`
	// Begun is how many deliveries have begun, and ended in order, since the last
	// failure. When the row counts more, one did not end.
	Begun int `json:"begun,omitempty"`
	// HoldsKey says that the event has failed before.
	HoldsKey bool `json:"holds_key,omitempty"`
}

// TurnOf is the turn of an event that was just handed to a workflow.
func TurnOf(e *omnibox.Event, at time.Time) Turn {
	return Turn{
		ID: e.ID, CreatedAt: e.CreatedAt, Slot: e.Fence.Slot, Token: e.Fence.Token, Topic: e.Topic, Key: e.Key, Type: e.Type,
		At: at.UnixMilli(), HoldsKey: e.Escalated,
	}
}

// Ref refers to the event's row.
func (t Turn) Ref() omnibox.Ref { return omnibox.Ref{ID: t.ID, CreatedAt: t.CreatedAt} }

func (t Turn) fence() omnibox.Fence { return omnibox.Fence{Slot: t.Slot, Token: t.Token} }

func (t Turn) took() time.Duration { return time.Since(time.UnixMilli(t.At)) }

// event is what is known of the event without its row.
func (t Turn) event() *omnibox.Event {
	return &omnibox.Event{
		ID: t.ID, CreatedAt: t.CreatedAt, Topic: t.Topic, Key: t.Key, Type: t.Type, Fence: t.fence(), HoldsKey: t.HoldsKey,
	}
}

// Took is what a part of the work came to.
type Took struct {
	// Verdict is empty when the next part is to follow. Retry and Released are
	// settled; the others are for Finish.
	Verdict omnibox.Verdict `json:"verdict,omitempty"`
	// Gone says that the work of the workflow is over: the event is final, in
	// other hands, or backs off in its row.
	Gone bool `json:"gone,omitempty"`
	// Class and Error of a failure, without any part of the payload, and the
	// number of counted failures.
	Class    omnibox.Class `json:"class,omitempty"`
	Error    string        `json:"error,omitempty"`
	Attempts int           `json:"attempts,omitempty"`
	// Delay until the next attempt, after Retry.
	Delay time.Duration `json:"delay,omitempty"`
	// Parked says, once Dead is settled, that the workflow may wait for a person.
	Parked bool `json:"parked,omitempty"`
	// Token and Begun are those of the turn for what follows.
	Token int64 `json:"token,omitempty"`
	Begun int   `json:"begun,omitempty"`
	// HoldsKey says that the event holds its key, since it has failed.
	HoldsKey bool `json:"holds_key,omitempty"`
}

// Next is the turn for what follows.
func (t Turn) Next(took Took) Turn {
	t.Begun = took.Begun
	if took.Token != 0 {
		t.Token = took.Token
	}
	t.HoldsKey = t.HoldsKey || took.HoldsKey || took.Verdict == omnibox.Retry
	return t
}

// StepSpecs are the user's steps, in their order.
func (p *Pipeline) StepSpecs() []Spec {
	specs := make([]Spec, len(p.steps))
	for i, s := range p.steps {
		specs[i] = s.Spec
	}
	return specs
}

// StepsTimeout is how long all steps may take with one event.
func (p *Pipeline) StepsTimeout() (all time.Duration) {
	for _, s := range p.steps {
		all += s.Timeout
	}
	return all
}

// StepsOne takes an event through the steps from up to, but not, to. Steps before
// from run too unless what they made of the event is at hand in this process. It
// blocks for as long as the steps do, and extends the lease meanwhile. The error
// is of the database.
func (p *Pipeline) StepsOne(ctx context.Context, turn Turn, from, to int) (Took, error) {
	return p.part(ctx, turn, from, to, func(ctx context.Context, w carriedEvent) (Result, error) {
		return p.runSteps(ctx, w.event, w.read, from, to)
	})
}

// HandleOne takes an event through the steps from the given one on, and gives it
// to the handler. What else it does is as with StepsOne.
func (p *Pipeline) HandleOne(ctx context.Context, turn Turn, from int) (Took, error) {
	took, err := p.part(ctx, turn, from, len(p.steps)+1, func(ctx context.Context, w carriedEvent) (Result, error) {
		result, err := p.runSteps(ctx, w.event, w.read, from, len(p.steps))
		if err != nil || result != Next {
			return result, err
		}
		err = w.read.hide(p.LaneHandler.Handle(ctx, []*omnibox.Event{w.event})[0], w.event)
		if err != nil && omnibox.ClassOf(err) == omnibox.ClassUnreachable {
			p.Breaker.doubt(context.WithoutCancel(ctx), Redact(err.Error(), w.event)) // others go on if it is this event's part alone
		}
		return Next, err
	})
	if err == nil && took.Verdict == "" && !took.Gone {
		took.Verdict = omnibox.Completed
	}
	return took, err
}

// FinishOne settles the verdict of a part: Completed, Skipped or Dead. A turn
// whose lease is lost settles nothing, and is Gone.
func (p *Pipeline) FinishOne(ctx context.Context, turn Turn, took Took) (Took, error) {
	e := turn.event()
	if w, found := p.carried.take(turn, len(p.steps)+1); found {
		e = w.event
	}
	o := omnibox.Outcome{
		Event: e, Verdict: took.Verdict, Class: took.Class, Error: took.Error, Attempts: took.Attempts, Counted: took.Verdict == omnibox.Dead,
	}
	err := p.Lane.Commit(ctx, []omnibox.Outcome{o})
	if errors.Is(err, omnibox.ErrLeaseLost) {
		return Took{Gone: true}, nil
	}
	if err != nil {
		return took, err
	}
	p.tell(ctx, o, turn.took())
	if took.Verdict != omnibox.Dead {
		return Took{Verdict: took.Verdict}, nil
	}
	took.Parked = e.Escalated
	return took, nil
}

// part does the part of the work on an event that leads from one place among the
// steps to another, and settles what is not for FinishOne.
func (p *Pipeline) part(ctx context.Context, turn Turn, from, to int, run func(context.Context, carriedEvent) (Result, error)) (Took, error) {
	ctx, cancel := p.untilEnding(ctx)
	defer cancel()
	if _, open := p.Breaker.Open(); open {
		return p.LetGo(ctx, turn, omnibox.ClassUnreachable)
	}
	if from > len(p.steps) || to > len(p.steps)+1 { // the workflow was started by a worker with more steps
		return p.LetGo(ctx, turn, omnibox.ClassCancelled)
	}
	w, found := p.carried.take(turn, from)
	if !found {
		e, deadline, err := p.Lane.Begin(ctx, turn.Ref(), turn.fence())
		switch {
		case errors.Is(err, omnibox.ErrLeaseLost):
			return Took{Gone: true}, nil
		case errors.Is(err, omnibox.ErrPaused):
			return p.LetGo(ctx, turn, omnibox.ClassCancelled)
		case err != nil:
			return Took{}, err
		case e.Fetches > turn.Begun+1: // a delivery has not ended: perhaps it was the event
			return Took{Gone: true}, p.Lane.GiveBack(ctx, turn.Ref(), turn.fence())
		}
		turn.Begun = e.Fetches
		w = carriedEvent{event: e, read: contentOf(e), until: deadline}
	}
	leaseCtx, lease := p.keepLease(ctx, w.event, w.until)
	defer lease.stop()
	result, err := Next, error(nil)
	if !found {
		result, err = p.runSteps(leaseCtx, w.event, w.read, 0, from)
	}
	if result == Next && err == nil {
		result, err = run(leaseCtx, w)
	}
	if _, classed := errors.AsType[*omnibox.Error](err); err != nil && leaseCtx.Err() != nil && !classed {
		err = omnibox.ErrNotSent // the lease ended under it
	}
	return p.settleOne(ctx, lease, turn, to, w, result, err)
}

func (p *Pipeline) settleOne(ctx context.Context, lease *rowLease, turn Turn, to int, w carriedEvent, result Result, err error) (Took, error) {
	e := w.event
	took := Took{Begun: turn.Begun, Attempts: e.Attempts, HoldsKey: e.HoldsKey}
	var o omnibox.Outcome
	switch {
	case err != nil:
		o = p.Retry.Decide(e, err, time.Now())
	case result == Stop:
		o = released(e)
	case result == Skip:
		took.Verdict = omnibox.Skipped
		return took, nil
	default:
		w.until = lease.until()
		p.carried.put(turn, to, w)
		return took, nil
	}
	took.Verdict, took.Class, took.Error, took.Attempts, took.Delay = o.Verdict, o.Class, o.Error, o.Attempts, o.Delay
	if o.Verdict == omnibox.Skipped || o.Verdict == omnibox.Dead {
		return took, nil
	}
	err = p.insist(ctx, p.Lane, []omnibox.Outcome{o}, lease.until)
	if errors.Is(err, omnibox.ErrLeaseLost) {
		return Took{Gone: true}, nil
	}
	if err != nil {
		return Took{}, err
	}
	if _, open := p.Breaker.Open(); !open && o.Verdict == omnibox.Released && (result == Stop || o.Class == omnibox.ClassUnreachable) {
		p.lull.begin() // else everything waits
	}
	p.tell(ctx, o, turn.took())
	took.Gone, took.Token, took.Begun = !e.Escalated || o.Verdict == omnibox.Released, e.Fence.Token, 0
	return took, nil
}

// LetGo releases an event that its workflow cannot get on with; why not is a class
// that does not count.
func (p *Pipeline) LetGo(ctx context.Context, turn Turn, why omnibox.Class) (Took, error) {
	err := p.Lane.Commit(ctx, []omnibox.Outcome{released(turn.event())})
	if errors.Is(err, omnibox.ErrLeaseLost) {
		err = nil
	}
	return Took{Verdict: omnibox.Released, Class: why, Gone: true}, err
}
