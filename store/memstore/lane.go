package memstore

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// Lane is the table as the workflow lane sees it; see store.Lane.
type Lane struct {
	*Store
	limits store.LaneConfig
}

// Lane opens the workflow lane's side of the table.
func (s *Store) Lane(limits store.LaneConfig) *Lane { return &Lane{Store: s, limits: limits} }

// bucket is a budget of workflows.
type bucket struct {
	tokens float64
	at     time.Time
}

// Suspects tells whether something in slots may have ended its worker.
func (l *Lane) Suspects(ctx context.Context, slots []int) (bool, error) {
	t := l.table
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, slot := range slots {
		if t.slots[slot].dirty && t.slots[slot].until.Before(now) && !t.broken.tellsNoSlots {
			return true, ctx.Err()
		}
		for _, r := range t.rows {
			lapsed := !r.LeaseUntil.IsZero() && !r.LeaseUntil.After(now) && !r.ScheduledAt.After(now)
			if r.Fence.Slot == slot && lapsed && !t.broken.tellsNoRows {
				return true, ctx.Err()
			}
		}
	}
	return false, ctx.Err()
}

// Assign passes leases of events to workflows.
func (l *Lane) Assign(ctx context.Context, events []*omnibox.Event) ([]*omnibox.Event, error) {
	t := l.table
	t.mu.Lock()
	defer t.mu.Unlock()
	var live, assigned []*omnibox.Event
	for _, e := range events {
		if t.isLive(e.Fence) || t.broken.assignsStale {
			live = append(live, e)
		}
	}
	if len(events) > 0 && len(live) == 0 {
		return nil, omnibox.ErrLeaseLost
	}
	if !l.spend(len(live)) {
		return nil, ctx.Err()
	}
	room := l.limits.InFlight - t.withWorkflow(false)
	for _, e := range live[:min(len(live), max(0, room))] {
		r := t.find(e.ID)
		if r.Status != omnibox.StatusPending || r.held || r.Fetches > 0 && !t.broken.assignsSuspects {
			continue
		}
		r.token++
		r.LeaseUntil, e.Fence.Token = time.Now().Add(l.cfg.Lease), r.token
		assigned = append(assigned, e)
	}
	return assigned, ctx.Err()
}

// spend takes n workflows from the budget.
func (l *Lane) spend(n int) bool {
	b, now := &l.table.budget, time.Now()
	if l.limits.Budget < 0 || l.table.broken.unboundedBudget {
		return true
	}
	most := float64(min(l.limits.Burst, l.limits.Budget))
	filled := most
	if !b.at.IsZero() {
		filled = min(most, b.tokens+now.Sub(b.at).Minutes()*float64(l.limits.Budget))
	}
	if filled < float64(n) {
		return false
	}
	*b = bucket{filled - float64(n), now}
	return true
}

// withWorkflow is how many events are leased to workflows: of those that failed
// before, or of the others.
func (t *Table) withWorkflow(failed bool) (n int) {
	for _, r := range t.rows {
		if r.LeaseUntil.After(time.Now()) && (r.Class != "") == failed && !t.broken.countsNoWorkflows {
			n++
		}
	}
	return n
}

// leased is the row of an event whose lease the fence proves; nil if it is
// another's.
func (t *Table) leased(ref omnibox.Ref, f omnibox.Fence) *row {
	r := t.find(ref.ID)
	if r == nil || r.LeaseUntil.IsZero() || r.token != f.Token && !t.broken.settlesStale {
		return nil
	}
	return r
}

// Begin counts a delivery and makes the lease last.
func (l *Lane) Begin(ctx context.Context, ref omnibox.Ref, fence omnibox.Fence) (*omnibox.Event, time.Time, error) {
	t := l.table
	t.mu.Lock()
	defer t.mu.Unlock()
	r, now := t.leased(ref, fence), time.Now()
	if r == nil || !r.LeaseUntil.After(now) && !t.broken.beginsLapsed {
		return nil, time.Time{}, omnibox.ErrLeaseLost
	}
	if !t.broken.beginsUncounted {
		r.Fetches++
	}
	if _, held := t.holds[r.OrderKey()][reasonPaused]; (held || t.paused) && !t.broken.beginsPaused {
		return nil, time.Time{}, omnibox.ErrPaused
	}
	e := r.Event
	e.Headers, e.Fence = maps.Clone(e.Headers), fence
	_, e.HoldsKey = t.blocks(r)
	return &e, l.prolong(r), ctx.Err()
}

// Extend makes the lease last.
func (l *Lane) Extend(ctx context.Context, e *omnibox.Event) (time.Time, error) {
	t := l.table
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.leased(e.Ref(), e.Fence)
	if r == nil {
		return time.Time{}, omnibox.ErrLeaseLost
	}
	return l.prolong(r), ctx.Err()
}

func (l *Lane) prolong(r *row) (deadline time.Time) {
	now := time.Now()
	if !l.table.broken.prolongsNothing {
		r.LeaseUntil = now.Add(l.cfg.Lease)
	}
	return now.Add(l.cfg.Lease - l.cfg.Margin())
}

// GiveBack gives an event to the batch lane, with the count of its deliveries.
func (l *Lane) GiveBack(ctx context.Context, ref omnibox.Ref, fence omnibox.Fence) error {
	l.table.mu.Lock()
	defer l.table.mu.Unlock()
	if r := l.table.leased(ref, fence); r != nil && !l.table.broken.keepsAll {
		r.LeaseUntil = time.Time{}
		r.token++
		if l.table.broken.forgetsCount {
			r.Fetches = 0
		}
	}
	return ctx.Err()
}

// Commit records outcomes under the events' own leases.
func (l *Lane) Commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	isLive := func(o omnibox.Outcome) bool { return l.table.leased(o.Event.Ref(), o.Event.Fence) != nil }
	wasSettled := func(o omnibox.Outcome) bool {
		r := l.table.find(o.Event.ID)
		if r == nil {
			return true
		}
		final := o.Verdict != omnibox.Retry && o.Verdict != omnibox.Released
		return r.token == o.Event.Fence.Token && (r.Status != omnibox.StatusPending || !final) && !l.table.broken.losesRepeats
	}
	byWorkflow := *l.Store
	byWorkflow.keepsToken = !l.table.broken.newToken
	return byWorkflow.commit(ctx, outcomes, isLive, wasSettled)
}

// Replay puts a dead event back and leases it to its workflow.
func (l *Lane) Replay(_ context.Context, ref omnibox.Ref, _ string) (omnibox.Fence, error) {
	t := l.table
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.find(ref.ID)
	if r == nil || r.Status != omnibox.StatusFailed && !t.broken.replaysTwice {
		return omnibox.Fence{}, notDead(ref)
	}
	t.replay(r)
	l.leaseToWorkflow(r)
	return omnibox.Fence{Token: r.token}, nil
}

// Discard gives a dead event up.
func (l *Lane) Discard(_ context.Context, ref omnibox.Ref, _, _ string) error {
	l.table.mu.Lock()
	defer l.table.mu.Unlock()
	letter := l.table.openLetter(ref.ID)
	if letter == nil {
		return notDead(ref)
	}
	letter.Open = l.table.broken.discardsNothing
	return nil
}

func notDead(ref omnibox.Ref) error {
	return omnibox.Permanent(fmt.Errorf("event %s: %w", ref.ID, store.ErrNotDead))
}
