package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/omnibox-go/omnibox"
)

// Lane is the table as the workflow lane sees it: events leased one by one to
// workflows of their own, so that a fence outlives the process that began with
// it. It is safe for concurrent use.
type Lane interface {
	// Commit records outcomes under the events' own leases.
	omnibox.CommitStrategy
	// Suspects tells whether something in slots may have ended its worker: then
	// nothing is to be fetched for Assign.
	Suspects(ctx context.Context, slots []int) (bool, error)
	// Assign passes the leases of fetched events to workflows, of as many as are
	// allowed, and returns those with their new fences.
	Assign(ctx context.Context, events []*omnibox.Event) ([]*omnibox.Event, error)
	// Begin counts a delivery, makes the lease last its full length from now, and
	// returns the event with the time by which work on it must have stopped.
	// ErrLeaseLost when the lease is another's, or has run out; ErrPaused while the
	// pipeline or the key is paused.
	Begin(ctx context.Context, ref omnibox.Ref, fence omnibox.Fence) (*omnibox.Event, time.Time, error)
	// Extend makes a lease last its full length from now.
	Extend(ctx context.Context, e *omnibox.Event) (time.Time, error)
	// GiveBack gives an event that may have ended its worker to the batch lane.
	GiveBack(ctx context.Context, ref omnibox.Ref, fence omnibox.Fence) error
}

// Wave says which events to hand to workflows.
type Wave struct {
	Slots []int
	// Most is how many events are handed over at once.
	Most int
	// Calm is how many due events a calm table has at most: with more none is
	// handed over. 0 for no such limit.
	Calm int
}

// Assign hands due events to workflows of their own: of each key the first, and
// none that has failed before, was put back by a person while its workflow may
// still wait for one, or is under suspicion. Backlog says that a drain is
// needed for what is due: there is too much, or something that only a drain
// handles, or in the workflow lane of this process something has just been released
// that it could not get on with. While the pipeline is paused nothing is due.
func (p *Pipeline) Assign(ctx context.Context, in Wave) (assigned []*omnibox.Event, backlog bool, err error) {
	if p.lull.lasts() {
		return nil, true, nil
	}
	claimCtx, cancel := uncut(ctx, p.Lease)
	defer cancel()
	if suspects, err := p.Lane.Suspects(claimCtx, in.Slots); err != nil || suspects {
		return nil, suspects, err
	}
	claim, err := p.Fetch.Claim(claimCtx, in.Slots)
	if errors.Is(err, omnibox.ErrPaused) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("claim slots: %w", err)
	}
	defer func() {
		if releaseErr := claim.Release(context.WithoutCancel(ctx)); err == nil && releaseErr != nil {
			err = releaseErr
		}
	}()
	n := in.Most
	if in.Calm > 0 {
		n = in.Calm + 1
	}
	events, _, err := claim.Fetch(claimCtx, n)
	if errors.Is(err, omnibox.ErrPaused) {
		return nil, false, nil
	}
	if err != nil || in.Calm > 0 && len(events) > in.Calm {
		return nil, len(events) > 0, err
	}
	fit, rest := firstOfKeys(events)
	assigned, err = p.Lane.Assign(claimCtx, fit[:min(len(fit), in.Most)])
	if errors.Is(err, omnibox.ErrLeaseLost) {
		return nil, false, nil
	}
	refused := in.Calm > 0 && len(fit) > 0 && len(assigned) == 0 // there are enough workflows
	return assigned, rest || refused, err
}

// firstOfKeys are those first events of keys that are fit for a workflow, and
// whether there are others. What is behind the first waits.
func firstOfKeys(events []omnibox.Event) (fit []*omnibox.Event, rest bool) {
	seen := make(map[omnibox.OrderKey]bool, len(events))
	for i := range events {
		e := &events[i]
		switch {
		case seen[e.OrderKey()]:
		case e.Attempts == 0 && e.Replays == 0 && !e.HoldsKey && !e.Suspect && e.Fetches == 0:
			fit = append(fit, e)
		default:
			rest = true
		}
		seen[e.OrderKey()] = true
	}
	return fit, rest
}
