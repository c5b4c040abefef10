package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/pipeline"
)

// troubled is a store whose calls fail and stall.
type troubled struct {
	*ports
	world *world
}

var errTrouble = omnibox.Unreachable(errors.New("trouble"))

func (s *troubled) Claim(ctx context.Context, slots []int) (omnibox.Claim, error) {
	if s.world.wrong() {
		return nil, errTrouble
	}
	c, err := s.ports.Claim(ctx, slots)
	return &troubledClaim{c, s.world}, err
}

// Commit fails before or after it has written.
func (s *troubled) Commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	w := s.world
	w.stall(2 * time.Second)
	if w.wrong() {
		return errTrouble
	}
	before := map[uuid.UUID]omnibox.Status{}
	for _, o := range outcomes {
		r, _ := w.table.Row(o.Event.ID)
		before[o.Event.ID] = r.Status
	}
	err := s.ports.Commit(ctx, outcomes)
	w.mu.Lock()
	for id, status := range before {
		if r, _ := w.table.Row(id); r.Status != status {
			w.final[id]++
		}
	}
	w.mu.Unlock()
	w.stall(time.Second)
	if w.wrong() {
		return errTrouble
	}
	return err
}

type troubledClaim struct {
	omnibox.Claim
	world *world
}

func (c *troubledClaim) Fetch(ctx context.Context, n int) ([]omnibox.Event, bool, error) {
	c.world.stall(time.Second)
	if c.world.wrong() {
		return nil, false, errTrouble
	}
	events, more, err := c.Claim.Fetch(ctx, n)
	c.world.stall(2 * time.Second)
	return events, more, err
}

func (c *troubledClaim) Extend(ctx context.Context) error {
	c.world.stall(3 * time.Second)
	if c.world.wrong() {
		return errTrouble
	}
	return c.Claim.Extend(ctx)
}

func (c *troubledClaim) Mark(ctx context.Context, events []*omnibox.Event) error {
	c.world.stall(time.Second)
	if c.world.wrong() {
		return errTrouble
	}
	return c.Claim.Mark(ctx, events)
}

func (c *troubledClaim) Release(ctx context.Context) error {
	if c.world.wrong() {
		return errTrouble // the lease lapses, and the slot is left dirty
	}
	return c.Claim.Release(ctx)
}

// troubledStep does what is planned, and at times something that is no fault of
// the event.
type troubledStep struct{ *world }

func (troubledStep) Spec() pipeline.Spec { return pipeline.Spec{Name: "troubled"} }

func (s troubledStep) Run(ctx context.Context, e *omnibox.Event) (pipeline.Result, error) {
	p := s.planOf(e)
	if s.wrong() {
		switch s.intn(4) {
		case 0:
			return pipeline.Next, omnibox.Unreachable(errTrouble)
		case 1:
			return pipeline.Stop, nil
		case 2:
			s.putOff(e)
			return pipeline.Next, omnibox.RetryAt(time.Now().Add(time.Duration(s.intn(3000)) * time.Millisecond))
		case 3:
			_ = sleep(ctx, time.Duration(s.intn(1500))*time.Millisecond)
		}
	}
	if p.skip {
		return pipeline.Skip, nil
	}
	if p.inStep && e.Attempts < p.failures {
		return pipeline.Next, p.fault(e)
	}
	return pipeline.Next, nil
}

func (w *world) planOf(e *omnibox.Event) plan {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.plans[e.ID]
}

// putOff notes that later events may overtake e, if any may.
func (w *world) putOff(e *omnibox.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.plans[e.ID]
	p.loose = p.loose || w.cfg.BehindFailure == "skip"
	w.plans[e.ID] = p
}

// fault is the failure that is due.
func (p plan) fault(e *omnibox.Event) error {
	if p.permanent && e.Attempts == p.failures-1 {
		return omnibox.Permanent(errBad)
	}
	return errBad
}

// troubledHandler publishes what is not planned to be refused.
type troubledHandler struct{ *world }

func (h troubledHandler) Probe(ctx context.Context) error { return h.broker.Probe(ctx) }

func (h troubledHandler) Handle(ctx context.Context, events []*omnibox.Event) []error {
	h.stall(2 * time.Second)
	errs := make([]error, len(events))
	failed := map[omnibox.OrderKey]bool{}
	for i, e := range events {
		key := e.OrderKey()
		p := h.planOf(e)
		switch {
		case failed[key]:
			errs[i] = omnibox.ErrNotSent
		case h.wrong() && h.chance(20):
			errs[i] = errTrouble // its part of the destination
		case !p.inStep && e.Attempts < p.failures:
			errs[i] = p.fault(e)
			if ctx.Err() != nil {
				errs[i] = omnibox.ErrNotSent // it could not be asked
			}
		default:
			r, err := broker.Raw{}.Convert(e)
			if err == nil {
				err = h.broker.Publish(ctx, []broker.Record{r})[0]
			}
			errs[i] = err
		}
		failed[key] = errs[i] != nil
		if errs[i] == nil {
			h.succeed(e)
		}
	}
	return errs
}

func (w *world) succeed(e *omnibox.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := fmt.Sprint(e.ID, e.Fence)
	if w.succeeded[id]++; w.succeeded[id] > 1 {
		w.broken = append(w.broken, "handled again under one lease: "+id)
	}
}
