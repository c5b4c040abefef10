package memstore

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/omnibox-go/omnibox"
)

// Fetch returns what is due next. Held rows of blocked keys are marked on the
// way.
func (c *claim) Fetch(ctx context.Context, n int) ([]omnibox.Event, bool, error) {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	if t.paused && !t.broken.ignoresPause {
		return nil, false, omnibox.ErrPaused
	}
	var out []omnibox.Event
	size := 0
	for _, r := range c.due() {
		if !c.passes(r) {
			continue
		}
		size += len(r.Payload.(json.RawMessage)) + len(r.Body)
		if len(out) > 0 && (c.tooMany(len(out), n) || size > c.cfg.MaxFetchBytes && !t.broken.unboundedBytes) {
			return c.ordered(out), !t.broken.saysNoMore, nil
		}
		out = append(out, c.hand(r))
	}
	for _, h := range c.leases {
		h.suspect = 0 // all that the last owner can have had in hand has been read
	}
	return c.ordered(out), false, nil
}

func (c *claim) tooMany(got, n int) bool { return got >= n && !c.table.broken.unboundedCount }

func (c *claim) ordered(events []omnibox.Event) []omnibox.Event {
	if c.table.broken.unordered {
		slices.Reverse(events)
	}
	return events
}

// due are the rows behind the cursors, in order of seq.
func (c *claim) due() []*row {
	now := time.Now()
	var due []*row
	for _, r := range c.table.rows {
		h := c.leases[r.Fence.Slot]
		if h == nil || r.Status != omnibox.StatusPending || r.held {
			continue
		}
		if isScheduled(r) && h.ahead[r.ID] || !isScheduled(r) && r.Seq <= h.after {
			continue
		}
		if c.table.due(r).After(now) && !c.table.broken.early {
			if !isScheduled(r) || !r.ScheduledAt.After(now) { // later ones of its key wait for it
				c.passOver(h, r)
			}
			continue
		}
		due = append(due, r)
	}
	if c.table.broken.scheduledLast {
		slices.SortStableFunc(due, func(a, b *row) int { return a.ScheduledAt.Compare(b.ScheduledAt) })
	}
	return due
}

// due is when the row is to be taken.
func (t *Table) due(r *row) time.Time {
	due := r.ScheduledAt
	if r.waits.After(due) {
		due = r.waits
	}
	if r.LeaseUntil.After(due) && !t.broken.ignoresWorkflows {
		due = r.LeaseUntil
	}
	return due
}

// isScheduled tells whether a row was, or became, one for later.
func isScheduled(r *row) bool { return r.ScheduledAt.Sub(r.CreatedAt) > time.Second }

// passes decides whether a row is to be taken; if not, it keeps its place, and
// so do later rows of its key until the next rewind.
func (c *claim) passes(r *row) bool {
	h, key := c.leases[r.Fence.Slot], r.OrderKey()
	blocked, own := c.table.blocks(r)
	if blocked && !c.table.broken.ignoresHolds {
		r.held = true
		c.passOver(h, r)
		return false
	}
	if first, ok := c.behind[key]; ok && r.Seq > first && !c.table.broken.overtakes {
		c.seen(h, r)
		return false
	}
	if own {
		c.passOver(h, r)
	}
	return true
}

func (c *claim) passOver(h *held, r *row) {
	if first, ok := c.behind[r.OrderKey()]; !ok || r.Seq < first {
		c.behind[r.OrderKey()] = r.Seq
	}
	c.seen(h, r)
}

func (c *claim) seen(h *held, r *row) {
	if isScheduled(r) {
		h.ahead[r.ID] = true
	} else {
		h.after = max(h.after, r.Seq)
	}
}

// hand makes the event that leaves the store.
func (c *claim) hand(r *row) omnibox.Event {
	h := c.leases[r.Fence.Slot]
	if !c.table.broken.repeats {
		c.seen(h, r)
	}
	e := r.Event
	if e.Headers = maps.Clone(e.Headers); c.table.broken.losesHeaders {
		e.Headers = nil
	}
	e.Fence.Token = h.token
	e.Suspect = h.suspect > 0 || e.Fetches > 0 || !r.LeaseUntil.IsZero()
	h.suspect--
	_, e.HoldsKey = c.table.blocks(r)
	return e
}
