package memstore

import (
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
)

const (
	reasonRetry  = "retry"
	reasonPaused = "paused"
)

// Pause stops the pipeline, or lets it go on.
func (t *Table) Pause(paused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = paused
}

// HoldKey pauses a key.
func (t *Table) HoldKey(key omnibox.OrderKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hold(key, reasonPaused, uuid.Nil)
}

// FreeKey ends the pause of a key.
func (t *Table) FreeKey(key omnibox.OrderKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free(key, reasonPaused)
}

// Replay puts a dead event back; it returns false if the event is not dead.
func (t *Table) Replay(id uuid.UUID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.find(id)
	if r == nil || r.Status != omnibox.StatusFailed {
		return false
	}
	t.replay(r)
	return true
}

// replay puts a dead event back.
func (t *Table) replay(r *row) {
	r.Status, r.Attempts, r.Fetches, r.LastError, r.Class = omnibox.StatusPending, 0, 0, "", ""
	r.ScheduledAt, r.waits = time.Now(), time.Time{}
	r.Replays++
	if letter := t.openLetter(r.ID); letter != nil {
		letter.Open = false
	}
}

// openLetter is the open dead letter of an event; nil if there is none.
func (t *Table) openLetter(id uuid.UUID) *DeadLetter {
	for i := range t.dead {
		if t.dead[i].ID == id && t.dead[i].Open {
			return &t.dead[i]
		}
	}
	return nil
}

// Expire makes every lease run out now.
func (t *Table) Expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.slots {
		t.slots[i].until = time.Time{}
	}
	for _, r := range t.rows {
		if !r.LeaseUntil.IsZero() {
			r.LeaseUntil = time.Now().Add(-time.Second)
		}
	}
}

// Elapse moves all times of the rows into the past, as if d had gone by, but for
// those of leases. It must not be called while events are in hand: CreatedAt is
// part of their reference.
func (t *Table) Elapse(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		r.CreatedAt, r.ScheduledAt, r.waits = r.CreatedAt.Add(-d), r.ScheduledAt.Add(-d), r.waits.Add(-d)
		if !r.CompletedAt.IsZero() {
			r.CompletedAt = r.CompletedAt.Add(-d)
		}
	}
	for i := range t.dead {
		t.dead[i].CreatedAt, t.dead[i].parkedUntil = t.dead[i].CreatedAt.Add(-d), t.dead[i].parkedUntil.Add(-d)
	}
	t.budget.at = t.budget.at.Add(-d)
}

func (t *Table) hold(key omnibox.OrderKey, reason string, event uuid.UUID) {
	if t.holds[key] == nil {
		t.holds[key] = map[string]uuid.UUID{}
	}
	if _, held := t.holds[key][reason]; !held {
		t.holds[key][reason] = event
	}
}

// free ends a hold; the key's rows that no other one blocks are back.
func (t *Table) free(key omnibox.OrderKey, reason string) {
	delete(t.holds[key], reason)
	if len(t.holds[key]) == 0 {
		delete(t.holds, key)
	}
	for _, r := range t.rows {
		if r.OrderKey() != key || t.broken.heldForEver {
			continue
		}
		blocked, own := t.blocks(r)
		r.held = r.held && (blocked || own && t.broken.heldByItself)
	}
}

// freeEvent ends the hold of an event, if it has one.
func (t *Table) freeEvent(r *row) {
	for reason, event := range t.holds[r.OrderKey()] {
		if event == r.ID {
			t.free(r.OrderKey(), reason)
		}
	}
}

// blocks tells whether something else than the row holds its key, and whether
// the row does.
func (t *Table) blocks(r *row) (blocked, own bool) {
	for _, event := range t.holds[r.OrderKey()] {
		if event == r.ID {
			own = true
		} else {
			blocked = true
		}
	}
	return blocked, own
}
