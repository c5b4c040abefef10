package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// Commit records outcomes, all in one transaction: one statement when every
// event succeeded and none of them had failed before.
//
// It may be called again with the same outcomes after any error: what is final
// already is left alone. A row that the database refuses does not stop the
// others: the error then names its event, and everything else is written.
func (s *Store) Commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	err := s.commit(ctx, outcomes)
	switch {
	case !isBadRow(err):
		return s.wrap("settle events", err)
	case len(outcomes) == 1:
		return s.wrap(fmt.Sprintf("settle event %s", outcomes[0].Event.ID), err)
	}
	half := len(outcomes) / 2
	return errors.Join(s.Commit(ctx, outcomes[:half]), s.Commit(ctx, outcomes[half:]))
}

func (s *Store) commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	if !slices.ContainsFunc(outcomes, needsMore) {
		if s.cfg.Claim == ClaimShard {
			return s.completeLeased(ctx, outcomes)
		}
		if all, err := s.completeRows(ctx, outcomes); all || err != nil {
			return err
		}
	}
	var lost error
	var over []hold
	fences := make([]omnibox.Fence, len(outcomes))
	for i, o := range outcomes {
		fences[i] = o.Event.Fence
	}
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, byIndex)
		if err != nil {
			return err
		}
		over, err = s.commitTx(ctx, tx, outcomes)
		if errors.Is(err, omnibox.ErrLeaseLost) {
			lost, err = err, nil // the others are to be committed
		}
		return err
	})
	if err != nil {
		for i, o := range outcomes { // leases passed to workflows are not
			o.Event.Fence = fences[i]
		}
		return err
	}
	s.forget(outcomes)
	_ = s.endHolds(ctx, over) // what is left is swept; the outcomes are recorded
	return lost
}

// needsMore tells whether an outcome takes more than the one update.
func needsMore(o omnibox.Outcome) bool {
	return o.Verdict != omnibox.Completed && o.Verdict != omnibox.Skipped || o.Event.HoldsKey
}

// completeLeased is the common case: the leases are tested and locked in the
// statement that writes. What was lost is told by the leases and not by the
// number of rows, since a repeated call finds its rows final.
func (s *Store) completeLeased(ctx context.Context, outcomes []omnibox.Outcome) error {
	var o refs
	leases := map[omnibox.Fence]bool{}
	for i := range outcomes {
		if e := outcomes[i].Event; !e.Final {
			o.add(e)
			leases[e.Fence] = false
		}
	}
	if len(leases) == 0 {
		return nil
	}
	slots, tokens := fences(leases)
	var live []omnibox.Fence
	err := s.query(ctx, s.db, s.onComplete()+"_leased", named{
		"table": s.table, "lease_slots": slots, "lease_tokens": tokens,
		"ids": o.ids.literal(), "created_ats": o.createdAts, "slots": o.slots, "tokens": o.tokens,
	}, collectInto(&live, pgx.RowToStructByPos[omnibox.Fence]))
	if err != nil {
		return err
	}
	if len(live) < len(leases) {
		return fmt.Errorf("%d of %d slots: %w", len(leases)-len(live), len(leases), omnibox.ErrLeaseLost)
	}
	return nil
}

// completeRows is completeLeased for rows that are leased themselves. It returns
// whether all were: why a row was not is left to the longer way.
func (s *Store) completeRows(ctx context.Context, outcomes []omnibox.Outcome) (all bool, err error) {
	var done [][16]byte
	err = s.query(ctx, s.db, s.onComplete()+"_rows", s.rowArgs(outcomes), collectInto(&done, pgx.RowTo[[16]byte]))
	if err != nil || len(done) < len(outcomes) {
		return false, err
	}
	s.forget(outcomes)
	return true, nil
}

// onComplete is the statement for an event that succeeded.
func (s *Store) onComplete() string {
	if s.cfg.OnComplete == "delete" {
		return "delete"
	}
	return "complete"
}

// CommitTx records outcomes as Commit does, in the caller's transaction, for a
// strategy that writes something of its own with them.
//
// What waits behind an event with a thousand others of its key is set free within
// a minute after the transaction, and not in it.
//
// After an error that is ErrLeaseLost the transaction is good: what was not lost
// is in it. Commit it, then return that error. After any other error, roll back.
func (s *Store) CommitTx(ctx context.Context, tx pgx.Tx, outcomes []omnibox.Outcome) error {
	_, err := s.commitTx(ctx, tx, outcomes)
	return s.wrap("settle events", err)
}

// commitTx returns the holds that are to be ended when tx is committed.
func (s *Store) commitTx(ctx context.Context, tx pgx.Tx, outcomes []omnibox.Outcome) (over []hold, err error) {
	live, err := s.lock(ctx, tx, outcomes)
	if err != nil {
		return nil, err
	}
	var v verdicts
	for _, o := range live {
		v.add(o)
	}
	if err := s.settle(ctx, tx, &v); err != nil {
		return nil, err
	}
	return v.over, s.lostOf(ctx, tx, outcomes, live)
}

// fences are the keys of a set of leases as columns.
func fences(leases map[omnibox.Fence]bool) (slots []int16, tokens []int64) {
	for f := range leases {
		slots = append(slots, int16(f.Slot))
		tokens = append(tokens, f.Token)
	}
	return slots, tokens
}
