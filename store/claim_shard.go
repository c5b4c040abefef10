package store

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// shardClaim holds the leases of slots. While it does, nobody else fetches from
// them, so rows are read without a write. The rules that make it safe:
//
//  1. Leasing and reading are two statements. A statement that did both would
//     read with a snapshot older than the lease: it would hand out rows that
//     the last owner completed a moment before.
//  2. Every settle locks the lease row for share, with its token: see
//     lock_leases.sql. A takeover that runs at the same time is waited for.
//  3. The owner stops sending when its lease less a margin has passed on its own
//     monotonic clock, counted from before the lease was asked for: Deadline.
//  4. Rows under a lease of their own are passed over.
type shardClaim struct {
	*Store
	asked   []int
	cursors *cursors

	mu     sync.Mutex
	leases map[int]int64 // token by slot
	until  time.Time
}

func (s *Store) claimShard(ctx context.Context, slots []int) (omnibox.Claim, error) {
	c := &shardClaim{Store: s, asked: slices.Clone(slots), cursors: newCursors(), leases: map[int]int64{}}
	asked := time.Now() // before the statement is sent: rule 3
	c.until = s.deadline(asked)
	if err := c.take(ctx, c.asked); err != nil {
		return nil, s.wrap("claim slots", err)
	}
	return c, nil
}

// take leases those of slots that are free.
func (c *shardClaim) take(ctx context.Context, slots []int) error {
	rows, err := c.db.Query(ctx, c.sql["lease_slots"], named{
		"table": c.table, "pipeline": c.cfg.Pipeline, "slots": narrow(slots),
		"owner": c.cfg.Owner, "lease": c.cfg.Lease.Microseconds(),
	})
	if err != nil {
		return err
	}
	var paused bool
	var slot *int
	var token *int64
	var dirty *bool
	_, err = pgx.ForEachRow(rows, []any{&paused, &slot, &token, &dirty}, func() error {
		if slot == nil {
			return nil
		}
		suspect := 0
		if *dirty {
			suspect = c.cfg.ReadAhead
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.leases[*slot] = *token
		c.cursors.add(*slot, suspect)
		return nil
	})
	if err == nil && paused {
		return omnibox.ErrPaused
	}
	return err
}

func narrow(slots []int) []int16 {
	out := make([]int16, len(slots))
	for i, slot := range slots {
		out[i] = int16(slot)
	}
	return out
}

// Slots that are held, in order.
func (c *shardClaim) Slots() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.leases))
}

// Deadline is when sending must have stopped.
func (c *shardClaim) Deadline() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.until
}

// Rewind makes the next Fetch start from the first due event of slots.
func (c *shardClaim) Rewind(slots ...int) { c.cursors.rewind(slots) }

// Fetch reads what is due next, with a snapshot younger than the leases.
func (c *shardClaim) Fetch(ctx context.Context, n int) ([]omnibox.Event, bool, error) {
	return c.fetch(ctx, c.cursors, n, c.Deadline, func(ctx context.Context, from start, n int) (taken, error) {
		if len(from.slots) == 0 {
			return taken{}, nil
		}
		p, err := c.read(ctx, c.db, from, n)
		if err != nil {
			return taken{}, err
		}
		if p.paused {
			return taken{}, omnibox.ErrPaused
		}
		out := c.cursors.take(p, from, n, c.ordered())
		c.fence(&out)
		return out, nil
	})
}

// fence puts the tokens in. A slot that was lost during the read has no cursor
// any more, so none of its rows are here.
func (c *shardClaim) fence(out *taken) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range out.events {
		e := &out.events[i]
		e.Fence.Token = c.leases[e.Fence.Slot]
	}
}

// Extend renews the leases and takes what has become free of the slots first
// asked for.
func (c *shardClaim) Extend(ctx context.Context) error {
	asked := time.Now()
	lost, err := c.renew(ctx)
	if err != nil {
		return c.wrap("extend leases", err)
	}
	c.mu.Lock()
	c.until = c.deadline(asked)
	missing := slices.DeleteFunc(slices.Clone(c.asked), func(slot int) bool {
		_, held := c.leases[slot]
		return held
	})
	c.mu.Unlock()
	if err := c.take(ctx, missing); err != nil {
		return c.wrap("extend leases", err)
	}
	if lost {
		return c.wrap("extend leases", omnibox.ErrLeaseLost)
	}
	return nil
}

// renew extends what is held and drops what was lost.
func (c *shardClaim) renew(ctx context.Context) (lost bool, err error) {
	args := c.held()
	args["lease"] = c.cfg.Lease.Microseconds()
	rows, err := c.db.Query(ctx, c.sql["extend_slots"], args)
	if err != nil {
		return false, err
	}
	renewed, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for slot := range c.leases {
		if !slices.Contains(renewed, slot) {
			delete(c.leases, slot)
			c.cursors.drop(slot)
			lost = true
		}
	}
	return lost, nil
}

// held are the leases as arguments.
func (c *shardClaim) held() named {
	c.mu.Lock()
	defer c.mu.Unlock()
	var tokens []int64
	slots := slices.Sorted(maps.Keys(c.leases))
	for _, slot := range slots {
		tokens = append(tokens, c.leases[slot])
	}
	return named{"table": c.table, "slots": narrow(slots), "tokens": tokens}
}

// Mark counts a delivery about to begin; see Store.mark.
func (c *shardClaim) Mark(ctx context.Context, events []*omnibox.Event) error {
	return c.mark(ctx, events)
}

// Release gives the leases up, even when ctx has ended.
func (c *shardClaim) Release(ctx context.Context) error {
	ctx, cancel := releaseContext(ctx)
	defer cancel()
	_, err := c.db.Exec(ctx, c.sql["release_slots"], c.held())
	if err != nil {
		return c.wrap("release slots", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for slot := range c.leases {
		c.cursors.drop(slot)
	}
	clear(c.leases)
	return nil
}
