package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// lock locks the leases of events until the transaction ends, and returns those
// outcomes whose lease is still ours, in their order.
func (s *Store) lock(ctx context.Context, tx pgx.Tx, outcomes []omnibox.Outcome) ([]omnibox.Outcome, error) {
	isLive := s.lockLeases
	if s.cfg.Claim == ClaimRow {
		isLive = s.lockRows
	}
	ours, err := isLive(ctx, tx, outcomes)
	if err != nil {
		return nil, err
	}
	live := make([]omnibox.Outcome, 0, len(outcomes))
	for _, o := range outcomes {
		if ours(o.Event) {
			live = append(live, o)
		}
	}
	return live, nil
}

func (s *Store) lockLeases(ctx context.Context, tx pgx.Tx, outcomes []omnibox.Outcome) (func(*omnibox.Event) bool, error) {
	leases := map[omnibox.Fence]bool{}
	for _, o := range outcomes {
		leases[o.Event.Fence] = false
	}
	slots, tokens := fences(leases)
	rows, err := tx.Query(ctx, s.sql["lock_leases"], named{"table": s.table, "slots": slots, "tokens": tokens})
	if err != nil {
		return nil, err
	}
	live, err := pgx.CollectRows(rows, pgx.RowToStructByPos[omnibox.Fence])
	if err != nil {
		return nil, err
	}
	for _, f := range live {
		leases[f] = true
	}
	return func(e *omnibox.Event) bool { return leases[e.Fence] }, nil
}

func (s *Store) lockRows(ctx context.Context, tx pgx.Tx, outcomes []omnibox.Outcome) (func(*omnibox.Event) bool, error) {
	rows, err := tx.Query(ctx, s.sql["lock_rows"], s.rowArgs(outcomes))
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return nil, err
	}
	live := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		live[id] = true
	}
	return func(e *omnibox.Event) bool { return live[e.ID] }, nil
}

func (s *Store) rowArgs(outcomes []omnibox.Outcome) named {
	var r refs
	for _, o := range outcomes {
		r.add(o.Event)
	}
	return named{"ids": r.ids.literal(), "created_ats": r.createdAts, "tokens": r.tokens, "owner": s.cfg.Owner}
}

// lostOf is ErrLeaseLost if any of outcomes was not live because another owner
// has its lease. Of rows that are leased themselves, one that was settled before
// under the same token is not lost: the call is a repetition.
func (s *Store) lostOf(ctx context.Context, tx pgx.Tx, outcomes, live []omnibox.Outcome) error {
	lost := len(outcomes) - len(live)
	if lost > 0 && s.cfg.Claim == ClaimRow {
		missing := notIn(outcomes, live)
		var err error
		if lost, err = s.lostRows(ctx, tx, missing); err != nil {
			return err
		}
		if err := s.recallParked(ctx, tx, missing); err != nil {
			return err
		}
	}
	if lost == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d events: %w", lost, len(outcomes), omnibox.ErrLeaseLost)
}

// recallParked says in events that were dead already, so that the call is a
// repetition, whether they are parked.
func (s *Store) recallParked(ctx context.Context, tx pgx.Tx, missing []omnibox.Outcome) error {
	dead := slices.DeleteFunc(missing, func(o omnibox.Outcome) bool { return o.Verdict != omnibox.Dead })
	if len(dead) == 0 || s.cfg.Escalation.Parked == 0 {
		return nil
	}
	args := refArgs(dead)
	args["table"] = s.table
	rows, err := tx.Query(ctx, s.sql["parked"], args)
	if err != nil {
		return err
	}
	return sayParked(rows, dead)
}

// notIn is what live, a part of outcomes in the same order, leaves.
func notIn(outcomes, live []omnibox.Outcome) []omnibox.Outcome {
	var rest []omnibox.Outcome
	for _, o := range outcomes {
		if len(live) > 0 && live[0].Event == o.Event {
			live = live[1:]
			continue
		}
		rest = append(rest, o)
	}
	return rest
}

func (s *Store) lostRows(ctx context.Context, tx pgx.Tx, missing []omnibox.Outcome) (int, error) {
	rows, err := tx.Query(ctx, s.sql["row_owners"], s.rowArgs(missing))
	if err != nil {
		return 0, err
	}
	verdict := make(map[uuid.UUID]omnibox.Verdict, len(missing))
	for _, o := range missing {
		verdict[o.Event.ID] = o.Verdict
	}
	lost := 0
	err = eachOwner(rows, func(id uuid.UUID, pending, ours bool) {
		final := verdict[id] != omnibox.Retry && verdict[id] != omnibox.Released
		if !ours || pending && final {
			lost++
		}
	})
	return lost, err
}

// eachOwner reads the rows of row_owners.
func eachOwner(rows pgx.Rows, each func(id uuid.UUID, pending, ours bool)) error {
	var id [16]byte
	var pending, ours bool
	_, err := pgx.ForEachRow(rows, []any{&id, &pending, &ours}, func() error {
		each(id, pending, ours)
		return nil
	})
	return err
}

// mark counts a delivery that is about to begin, in the rows and, once that is
// durable, in the events.
func (s *Store) mark(ctx context.Context, events []*omnibox.Event) error {
	if len(events) == 0 {
		return nil
	}
	asked := make([]omnibox.Outcome, len(events))
	byID := make(map[uuid.UUID]*omnibox.Event, len(events))
	for i, e := range events {
		asked[i].Event = e
		byID[e.ID] = e
	}
	type count struct {
		ID      [16]byte
		Fetches int
	}
	var counts []count
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, byIndex); err != nil {
			return err
		}
		live, err := s.lock(ctx, tx, asked)
		if err != nil {
			return err
		}
		args := refArgs(live)
		args["slots"] = s.cfg.Claim == ClaimShard
		rows, err := tx.Query(ctx, s.sql["count_fetches"], args)
		if err != nil {
			return err
		}
		counts, err = pgx.CollectRows(rows, pgx.RowToStructByPos[count])
		return err
	})
	if err != nil {
		return s.wrap("mark events", err)
	}
	for _, c := range counts {
		byID[c.ID].Fetches = c.Fetches
	}
	if len(counts) < len(events) {
		return s.wrap("mark events", omnibox.ErrLeaseLost)
	}
	return nil
}

// refArgs are the rows of outcomes as arguments.
func refArgs(outcomes []omnibox.Outcome) named {
	var r refs
	for _, o := range outcomes {
		r.add(o.Event)
	}
	return named{"ids": r.ids.literal(), "created_ats": r.createdAts}
}
