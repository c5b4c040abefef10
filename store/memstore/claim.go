package memstore

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// Store is a worker's side of a table: an omnibox.FetchStrategy and an
// omnibox.CommitStrategy.
type Store struct {
	table *Table
	cfg   store.Config
	// keepsToken says that whoever settles an event is its workflow, whose lease
	// goes on.
	keepsToken bool
}

var (
	_ omnibox.FetchStrategy  = (*Store)(nil)
	_ omnibox.CommitStrategy = (*Store)(nil)
)

func (s *Store) blocksBehind() bool {
	return s.cfg.Ordering != "none" && s.cfg.BehindFailure != "skip"
}

// Due returns those of slots that have something due; none while paused.
func (s *Store) Due(ctx context.Context, slots []int) ([]int, error) {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	due := map[int]bool{}
	for _, r := range t.rows {
		if r.Status != omnibox.StatusPending || r.held || !slices.Contains(slots, r.Fence.Slot) {
			continue
		}
		if !t.due(r).After(time.Now()) || t.broken.dueBeforeTime {
			due[r.Fence.Slot] = true
		}
	}
	if t.paused {
		clear(due)
	}
	return slices.Sorted(maps.Keys(due)), ctx.Err()
}

// claim holds slots. Its fields are guarded by the table's mutex.
type claim struct {
	*Store
	asked  []int
	leases map[int]*held
	until  time.Time
	behind map[omnibox.OrderKey]int64 // lowest seq passed over, until the next rewind
}

// held is a slot that a claim holds.
type held struct {
	token   int64
	after   int64              // seq of the last immediate row returned
	ahead   map[uuid.UUID]bool // scheduled rows returned
	suspect int                // how many rows to come are under suspicion
}

func (h *held) rewind() { h.after, h.ahead = math.MinInt64, map[uuid.UUID]bool{} }

// Claim takes those of slots that are free.
func (s *Store) Claim(ctx context.Context, slots []int) (omnibox.Claim, error) {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	c := &claim{Store: s, asked: slices.Clone(slots), leases: map[int]*held{}, behind: map[omnibox.OrderKey]int64{}}
	if err := c.take(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// take leases what is free of the slots asked for, and counts the deadline from
// now.
func (c *claim) take(ctx context.Context) error {
	t, now := c.table, time.Now()
	if t.paused && !t.broken.ignoresPause {
		return omnibox.ErrPaused
	}
	c.until = now.Add(c.cfg.Lease - c.cfg.Margin())
	for _, slot := range c.asked {
		l := &t.slots[slot]
		if c.leases[slot] != nil || l.until.After(now) && !t.broken.sharesSlots {
			continue
		}
		h := &held{token: l.token + 1}
		if t.broken.sameToken {
			h.token = l.token
		}
		h.rewind()
		if l.dirty && !t.broken.suspectsNobody {
			h.suspect = c.cfg.ReadAhead
		}
		*l = lease{token: h.token, owner: c.cfg.Owner, until: now.Add(c.cfg.Lease), dirty: true}
		c.leases[slot] = h
	}
	return ctx.Err()
}

// Slots that are held, in order.
func (c *claim) Slots() []int {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	return slices.Sorted(maps.Keys(c.leases))
}

// Deadline is when sending must have stopped.
func (c *claim) Deadline() time.Time {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	return c.until
}

// Rewind makes the next Fetch start from the first due event.
func (c *claim) Rewind(...int) {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	if c.table.broken.neverRewinds {
		return
	}
	for _, h := range c.leases {
		h.rewind()
	}
	clear(c.behind)
}

// Extend renews the leases and takes what has become free.
func (c *claim) Extend(ctx context.Context) error {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	lost := false
	for slot, h := range c.leases {
		if t.slots[slot].token != h.token && !t.broken.extendsLost {
			delete(c.leases, slot)
			lost = true
			continue
		}
		if !t.broken.extendsNothing {
			t.slots[slot].until = time.Now().Add(c.cfg.Lease)
		}
	}
	if err := c.take(ctx); err != nil {
		return err
	}
	if lost {
		return omnibox.ErrLeaseLost
	}
	return nil
}

// Mark counts a delivery about to begin.
func (c *claim) Mark(ctx context.Context, events []*omnibox.Event) error {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	lost := false
	for _, e := range events {
		r := t.find(e.ID)
		if r == nil || r.Status != omnibox.StatusPending || !t.isLive(e.Fence) && !t.broken.marksStale {
			lost = true
			continue
		}
		e.Fetches = r.Fetches + 1
		if !t.broken.marksInMemory {
			r.Fetches = e.Fetches
		}
		if !r.LeaseUntil.IsZero() && !t.broken.leavesToWorkflow { // taken from its workflow
			r.LeaseUntil = time.Time{}
			r.token++
		}
	}
	if lost {
		return omnibox.ErrLeaseLost
	}
	return ctx.Err()
}

// isLive tells whether a fence still proves the right to settle.
func (t *Table) isLive(f omnibox.Fence) bool { return t.slots[f.Slot].token == f.Token }

// Release gives up what the claim holds, even when ctx has ended.
func (c *claim) Release(context.Context) error {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	for slot, h := range c.leases {
		l := &t.slots[slot]
		if l.token == h.token && !t.broken.releasesNothing {
			l.owner, l.until, l.dirty = "", time.Time{}, t.broken.leavesDirty
		}
	}
	clear(c.leases)
	return nil
}
