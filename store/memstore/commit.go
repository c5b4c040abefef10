package memstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// Commit records outcomes.
func (s *Store) Commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	isLive := func(o omnibox.Outcome) bool { return s.table.isLive(o.Event.Fence) }
	return s.commit(ctx, outcomes, isLive, isLive)
}

// commit records those outcomes that are live; the others are lost but for those
// that were settled before.
func (s *Store) commit(ctx context.Context, outcomes []omnibox.Outcome, isLive, wasSettled func(omnibox.Outcome) bool) error {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	events := make([]*omnibox.Event, len(outcomes))
	for i, o := range outcomes {
		events[i] = o.Event
	}
	if err := t.awaitRows(ctx, events); err != nil {
		return err
	}
	var live []omnibox.Outcome
	lost := 0
	for _, o := range outcomes {
		switch {
		case isLive(o) || t.broken.settlesStale:
			live = append(live, o)
		case !wasSettled(o):
			lost++
		case o.Verdict == omnibox.Dead:
			letter := t.openLetter(o.Event.ID)
			o.Event.Escalated = letter != nil && letter.parkedUntil.After(time.Now())
		}
	}
	if lost > 0 && t.broken.allOrNothing {
		return omnibox.ErrLeaseLost
	}
	for _, o := range live {
		r := t.find(o.Event.ID)
		if r == nil {
			continue
		}
		if r.Status != omnibox.StatusPending && !t.broken.regresses {
			if t.broken.refusesRepeat {
				lost++
			}
			continue
		}
		s.settle(r, o)
	}
	s.escalate(live)
	if lost > 0 {
		return fmt.Errorf("settle %d of %d events: %w", lost, len(outcomes), omnibox.ErrLeaseLost)
	}
	return nil
}

func (s *Store) settle(r *row, o omnibox.Outcome) {
	t := s.table
	r.LeaseUntil = time.Time{}
	switch o.Verdict {
	case omnibox.Completed, omnibox.Skipped:
		if o.Verdict == omnibox.Skipped && t.broken.skippedStays {
			return
		}
		s.complete(r)
	case omnibox.Retry:
		s.retry(r, o)
	case omnibox.Dead:
		t.bury(r, o)
		if s.cfg.Ordering != "none" && s.cfg.BehindFailure == "follow" {
			t.buryBehind(r)
		}
	case omnibox.Released:
		if !t.broken.keepsMarks {
			r.Fetches = 0
		}
		if t.broken.countsReleased {
			r.Attempts++
		}
	}
}

func (s *Store) complete(r *row) {
	t := s.table
	if s.cfg.OnComplete == "delete" && !t.broken.keepsDeleted {
		t.rows = slices.DeleteFunc(t.rows, func(o *row) bool { return o == r })
	}
	r.Status, r.CompletedAt, r.held = omnibox.StatusCompleted, time.Now(), false
	if t.broken.forgetsComplete {
		r.Status = omnibox.StatusPending
	}
	t.freeEvent(r)
}

func (s *Store) retry(r *row, o omnibox.Outcome) {
	t := s.table
	r.Status = omnibox.StatusPending
	if o.Counted || t.broken.countsAll {
		r.Attempts = o.Attempts
	}
	if t.broken.countsTwice {
		r.Attempts++
	}
	if !t.broken.attemptsAboveMax {
		r.MaxAttempts = max(r.MaxAttempts, r.Attempts+1)
	}
	r.LastError, r.Class = store.LastError(o.Error), o.Class
	if t.broken.longErrors {
		r.LastError = o.Error
	}
	r.ScheduledAt = time.Now().Add(o.Delay)
	r.waits = time.Time{}
	if latest := r.CreatedAt.Add(omnibox.MaxSchedule); r.ScheduledAt.After(latest) && !t.broken.unboundedDelay {
		if !t.broken.hastyWhenOld {
			r.waits = r.ScheduledAt
		}
		r.ScheduledAt = latest
	}
	if t.broken.noDelay {
		r.ScheduledAt = r.CreatedAt
	}
	if !t.broken.keepsMarks {
		r.Fetches = 0
	}
	if s.blocksBehind() != t.broken.blocksWrongly {
		t.hold(r.OrderKey(), reasonRetry, r.ID)
	}
}

func (t *Table) bury(r *row, o omnibox.Outcome) {
	r.Status, r.held, r.Fetches = omnibox.StatusFailed, false, 0
	r.Attempts = r.MaxAttempts // omni-box's rule of failed rows
	r.LastError, r.Class = store.LastError(o.Error), o.Class
	letter := DeadLetter{Ref: r.Ref(), Class: o.Class, Error: r.LastError, Attempts: o.Attempts, Open: true}
	if t.broken.falseAttempts {
		letter.Attempts = r.Attempts
	}
	if !t.broken.noLetter {
		t.dead = append(t.dead, letter)
	}
	if !t.broken.deadHolds {
		t.freeEvent(r)
	}
}
