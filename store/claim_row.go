package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/omnibox-go/omnibox"
)

// rowClaim leases every row that it hands out, so that it can share its slots
// with other claims and the table with other programs: two pipelines with
// filters, or omni-box. A row's fence is its own token, raised by every lease.
//
// Order holds between owners because a row is leased only if no elder of its
// key is in other hands. Those who fetch from a slot take turns, by its lease
// row, for the length of the fetch:
//
//  1. A and B read the same due rows 1 and 2 of a key
//  2. A leases both
//  3. B finds 1 leased when it locks it, leaves it out, and 2 with it
//
// A program that keeps its locks uncommitted, as omni-box does, is seen by the
// rows that are locked: they and what is behind them are left out too.
type rowClaim struct {
	*Store
	slots   []int
	cursors *cursors

	mu    sync.Mutex
	hand  map[uuid.UUID]omnibox.Event // leased to us, perhaps settled since
	until time.Time
}

func (s *Store) claimRows(ctx context.Context, slots []int) (omnibox.Claim, error) {
	asked := time.Now()
	c := &rowClaim{Store: s, slots: slices.Sorted(slices.Values(slots)), cursors: newCursors(), hand: map[uuid.UUID]omnibox.Event{}}
	c.until = s.deadline(asked)
	for _, slot := range c.slots {
		c.cursors.add(slot, 0)
	}
	if err := c.refusePaused(ctx); err != nil {
		return nil, s.wrap("claim rows", err)
	}
	s.rowClaims.Store(c, nil)
	return c, nil
}

// forget takes settled events out of the hands of this process's claims, sooner
// than their next Extend would.
func (s *Store) forget(outcomes []omnibox.Outcome) {
	for c := range s.rowClaims.Range {
		c.(*rowClaim).forget(outcomes)
	}
}

func (c *rowClaim) forget(outcomes []omnibox.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range outcomes {
		if c.hand[o.Event.ID].Fence.Token <= o.Event.Fence.Token { // higher if a workflow has it now
			delete(c.hand, o.Event.ID)
		}
	}
}

// refusePaused is ErrPaused while the pipeline is paused.
func (c *rowClaim) refusePaused(ctx context.Context) error {
	var paused bool
	err := c.db.QueryRow(ctx, c.sql["is_paused"], named{"pipeline": c.cfg.Pipeline}).Scan(&paused)
	if err == nil && paused {
		return omnibox.ErrPaused
	}
	return err
}

// Slots asked for: rows are leased, slots are shared.
func (c *rowClaim) Slots() []int { return slices.Clone(c.slots) }

// Deadline is when sending must have stopped.
func (c *rowClaim) Deadline() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.until
}

// Rewind makes the next Fetch start from the first due event of slots.
func (c *rowClaim) Rewind(slots ...int) { c.cursors.rewind(slots) }

// Fetch reads what is due next and leases it.
func (c *rowClaim) Fetch(ctx context.Context, n int) ([]omnibox.Event, bool, error) {
	return c.fetch(ctx, c.cursors, n, c.Deadline, func(ctx context.Context, from start, n int) (out taken, err error) {
		err = pgx.BeginFunc(ctx, c.db, func(tx pgx.Tx) error {
			out, err = c.pick(ctx, tx, from, n)
			return err
		})
		if err != nil {
			c.cursors.rewind(nil) // they may have moved past rows that were not leased
			return taken{}, unlessBusy(err)
		}
		c.keep(out.events)
		return out, nil
	})
}

// unlessBusy takes a turn that did not come for nothing to fetch now.
func unlessBusy(err error) error {
	const lockNotAvailable = "55P03"
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == lockNotAvailable {
		return nil
	}
	return err
}

// pick locks the slots, reads, and leases, each a statement with a snapshot
// younger than the one before.
func (c *rowClaim) pick(ctx context.Context, tx pgx.Tx, from start, n int) (taken, error) {
	_, err := tx.Exec(ctx, c.sql["lock_slots"], named{"table": c.table, "slots": narrow(c.slots)})
	if err != nil {
		return taken{}, err
	}
	p, err := c.read(ctx, tx, from, n)
	if err != nil {
		return taken{}, err
	}
	if p.paused {
		return taken{}, omnibox.ErrPaused
	}
	lapsed := map[uuid.UUID]bool{}
	for _, r := range p.rows {
		lapsed[r.ID] = r.lapsed
	}
	out := c.cursors.take(p, from, n, c.ordered())
	tokens, err := c.lease(ctx, tx, out.events)
	if err != nil {
		return taken{}, err
	}
	out.events = slices.DeleteFunc(out.events, func(e omnibox.Event) bool {
		_, ours := tokens[e.ID]
		if !ours {
			c.cursors.keepPlace(&e)
		}
		return !ours
	})
	for i := range out.events {
		e := &out.events[i]
		e.Fence.Token = tokens[e.ID]
		e.Suspect = lapsed[e.ID] || e.Fetches > 0
	}
	return out, nil
}

// lease leases rows and returns the tokens of those that it got.
func (c *rowClaim) lease(ctx context.Context, tx pgx.Tx, events []omnibox.Event) (map[uuid.UUID]int64, error) {
	if len(events) == 0 {
		return nil, nil
	}
	o := refsOf(events)
	rows, err := tx.Query(ctx, c.sql["lease_rows"], c.ours(named{
		"ids": o.ids.literal(), "created_ats": o.createdAts, "topics": o.topics, "keys": o.keys, "seqs": o.seqs,
		"hand": c.inHand().ids.literal(), "ordered": c.ordered(), "skip": c.cfg.BehindFailure == "skip", "owner": c.cfg.Owner, "lease": c.cfg.Lease.Microseconds(),
	}))
	if err != nil {
		return nil, err
	}
	return collectTokens(rows)
}

// inHand are the rows in hand as columns.
func (c *rowClaim) inHand() refs {
	c.mu.Lock()
	defer c.mu.Unlock()
	return refsOf(slices.Collect(maps.Values(c.hand)))
}

func (c *rowClaim) keep(events []omnibox.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range events {
		e := &events[i]
		c.hand[e.ID] = omnibox.Event{ID: e.ID, CreatedAt: e.CreatedAt, Fence: e.Fence}
	}
}

// Extend renews the leases of what is in hand. What has been settled leaves the
// hand; what was lost does too, and the error is ErrLeaseLost.
func (c *rowClaim) Extend(ctx context.Context) error {
	asked := time.Now()
	hand := c.inHand()
	args := c.handArgs(hand)
	args["lease"] = c.cfg.Lease.Microseconds()
	var renewed [][16]byte
	err := c.query(ctx, c.db, "extend_rows", args, collectInto(&renewed, pgx.RowTo[[16]byte]))
	if err != nil {
		return c.wrap("extend leases", err)
	}
	lost, err := c.dropAllBut(ctx, hand, renewed)
	if err != nil {
		return c.wrap("extend leases", err)
	}
	c.mu.Lock()
	c.until = c.deadline(asked)
	c.mu.Unlock()
	if lost {
		return c.wrap("extend leases", omnibox.ErrLeaseLost)
	}
	return c.wrap("extend leases", c.refusePaused(ctx))
}

// dropAllBut takes what was not renewed out of the hand, and tells whether
// another owner has any of it. A row with our token was settled or, if it is
// pending, is locked by our own handler: then it stays.
func (c *rowClaim) dropAllBut(ctx context.Context, hand refs, renewed [][16]byte) (lost bool, err error) {
	if len(renewed) == len(hand.ids) {
		return false, nil
	}
	kept := make(map[uuid.UUID]bool, len(renewed))
	for _, id := range renewed {
		kept[id] = true
	}
	err = c.query(ctx, c.db, "row_owners", c.handArgs(hand), func(rows pgx.Rows) error {
		return eachOwner(rows, func(id uuid.UUID, pending, ours bool) {
			lost = lost || !ours
			kept[id] = kept[id] || pending && ours
		})
	})
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range hand.ids {
		if !kept[id] {
			delete(c.hand, id)
		}
	}
	return lost, nil
}

func (c *rowClaim) handArgs(hand refs) named {
	return named{"ids": hand.ids.literal(), "created_ats": hand.createdAts, "tokens": hand.tokens, "owner": c.cfg.Owner}
}

// Mark counts a delivery about to begin; see Store.mark.
func (c *rowClaim) Mark(ctx context.Context, events []*omnibox.Event) error {
	return c.mark(ctx, events)
}

// Release gives up the leases of rows that were not settled, even when ctx has
// ended.
func (c *rowClaim) Release(ctx context.Context) error {
	c.rowClaims.Delete(c)
	ctx, cancel := releaseContext(ctx)
	defer cancel()
	if err := c.query(ctx, c.db, "release_rows", c.handArgs(c.inHand()), done); err != nil {
		return c.wrap("release rows", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.hand)
	return nil
}
