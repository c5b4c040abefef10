package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// Complete completes events in the transaction in which work does what they are
// about: either both happen, exactly once, or neither.
//
// Work gets those of events that are pending and leased to us; their rows are
// locked and complete in tx before it runs. Events that are final already are left
// out, and work does not run if none remains. The error is ErrLeaseLost, and
// nothing happens, if any event is pending under the lease of somebody else. An
// error of work is returned as it is, and the transaction rolled back.
//
// It blocks while another transaction completes one of the events. While work
// runs, the rows are locked and no lease is: who takes it over meanwhile waits
// when it comes to the same event, and then finds it final. If ctx has a deadline
// the rows are free soon after it, whatever has become of this process. After success
// all events are Final, and to settle them is cheap. Work must neither commit nor
// roll back. When the error is that of the commit, the outcome is unknown; the call
// may be repeated.
func (s *Store) Complete(ctx context.Context, events []*omnibox.Event,
	work func(ctx context.Context, tx pgx.Tx, events []*omnibox.Event) error,
) error {
	if len(events) == 0 {
		return nil
	}
	var live []*omnibox.Event
	var failed error // of work
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) (err error) {
		if live, err = s.completeLive(ctx, tx, events); err != nil || len(live) == 0 {
			return err
		}
		failed = work(ctx, tx, live)
		return failed
	})
	switch {
	case failed != nil:
		return failed
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return s.wrap("complete events", fmt.Errorf("%w: a statement of the handler failed, and its error was not returned", err))
	case err != nil:
		return s.wrap("complete events", err)
	}
	for _, e := range events {
		e.Final = true
	}
	s.freeKeys(ctx, live)
	return nil
}

// completeLive completes those of events that are leased to us, and returns them.
func (s *Store) completeLive(ctx context.Context, tx pgx.Tx, events []*omnibox.Event) ([]*omnibox.Event, error) {
	sorted := slices.SortedFunc(slices.Values(events), func(a, b *omnibox.Event) int { // one order for all who lock rows
		return cmp.Or(slices.Compare(a.ID[:], b.ID[:]), a.CreatedAt.Compare(b.CreatedAt))
	})
	var o refs
	for _, e := range sorted {
		o.add(e)
	}
	args := named{
		"table": s.table, "owner": s.cfg.Owner, "rows": s.cfg.Claim == ClaimRow,
		"ids": o.ids.literal(), "created_ats": o.createdAts, "slots": o.slots, "tokens": o.tokens,
	}
	done, err := s.borrowing(ctx, tx, s.onComplete()+"_live", args)
	if err != nil {
		return nil, err
	}
	if len(done) == len(events) {
		return events, nil
	}
	completed := make(map[uuid.UUID]bool, len(done))
	for _, id := range done {
		completed[id] = true
	}
	var live, rest []*omnibox.Event
	for _, e := range events {
		if completed[e.ID] {
			live = append(live, e)
		} else {
			rest = append(rest, e)
		}
	}
	return live, s.refuseLost(ctx, tx, rest)
}

// refuseLost is ErrLeaseLost if any of events is still pending. Its snapshot is
// younger than the end of the transactions that were waited for.
func (s *Store) refuseLost(ctx context.Context, tx pgx.Tx, events []*omnibox.Event) error {
	var r refs
	for _, e := range events {
		r.add(e)
	}
	rows, err := tx.Query(ctx, s.sql["row_owners"], named{
		"ids": r.ids.literal(), "created_ats": r.createdAts, "tokens": r.tokens, "owner": s.cfg.Owner,
	})
	if err != nil {
		return err
	}
	lost := 0
	err = eachOwner(rows, func(_ uuid.UUID, pending, _ bool) {
		if pending {
			lost++
		}
	})
	if err != nil || lost == 0 {
		return err
	}
	return fmt.Errorf("%d of %d events: %w", lost, len(events), omnibox.ErrLeaseLost)
}

// borrow is byIndex, and keeps what was set before; {{give back}} in the statement
// that follows sets that again, so that the statements of whoever goes on with the
// transaction are planned as everywhere else. What stays set is that the server
// ends the transaction once it has heard nothing for as long as the call may last,
// if that is bounded: the process may stand still, or be out of reach, and its rows
// would be locked until the connection is found dead.
const (
	borrow = `select set_config('omnibox.planner', concat_ws(' ', current_setting('enable_seqscan'), current_setting('enable_bitmapscan'), current_setting('plan_cache_mode')), true),
		set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true),
		set_config('idle_in_transaction_session_timeout', coalesce(nullif(current_setting('idle_in_transaction_session_timeout'), '0'), $1), true)`
	giveBack = `(select concat(set_config('enable_seqscan', split_part(current_setting('omnibox.planner', true), ' ', 1), true),
		set_config('enable_bitmapscan', split_part(current_setting('omnibox.planner', true), ' ', 2), true),
		set_config('plan_cache_mode', split_part(current_setting('omnibox.planner', true), ' ', 3), true)))`
)

// borrowing runs a statement that returns ids, in one round trip, with the
// planner's settings borrowed for it alone, unless it returns none.
func (s *Store) borrowing(ctx context.Context, tx pgx.Tx, name string, args named) (ids [][16]byte, err error) {
	var b pgx.Batch
	b.Queue(borrow, idleFor(ctx))
	b.Queue(s.sql[name], args).Query(func(rows pgx.Rows) error {
		ids, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (id [16]byte, err error) {
			err = row.Scan(&id, nil)
			return id, err
		})
		return err
	})
	return ids, tx.SendBatch(ctx, &b).Close()
}

// idleFor is how long a transaction under ctx may be idle, as a setting; for ever
// if ctx has no end.
func idleFor(ctx context.Context) string {
	end, bounded := ctx.Deadline()
	if !bounded {
		return "0"
	}
	return fmt.Sprintf("%dms", max(1, time.Until(end).Milliseconds()))
}

// freeKeys ends the holds of events that are complete. Where slots are leased, the
// settle that follows does it: there the leases tell whose the events were.
// What is left is swept.
func (s *Store) freeKeys(ctx context.Context, completed []*omnibox.Event) {
	if s.cfg.Claim != ClaimRow {
		return
	}
	var over []hold
	for _, e := range completed {
		if e.HoldsKey {
			over = append(over, hold{Topic: e.Topic, Key: e.Key, Reason: "retry"})
		}
	}
	_ = s.endHolds(ctx, over)
}
