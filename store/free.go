package store

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// freeChunk is how many rows one transaction sets free. A settle, which has
	// leases locked meanwhile, takes a few milliseconds for so many.
	freeChunk = 1000
	// sweepEvery is how often to look for holds that are over.
	sweepEvery = time.Minute
)

// hold of a key.
type hold struct {
	Topic, Key, Reason string
}

// A hold of an event is over when the event is not pending any more. Mostly it
// goes with the settle. It stays behind when somebody else has completed or
// deleted the row, and when so much waits behind the event that setting it free
// is done in pieces:
//
//  1. the event is settled; its hold stays, and so what is behind it still waits
//  2. the marks of the rows go, a chunk a transaction; a fetch that meets such a
//     row leaves it out because of the hold, and does not mark it again
//  3. the hold goes, and with it the marks of fetches that had begun before 1
//
// Whoever stops in between leaves a hold that is over to the next sweep.

// sweep ends the holds that are over, at most once a minute.
func (s *Store) sweep(ctx context.Context) error {
	now, last := time.Now(), s.swept.Load()
	if last != nil && now.Sub(*last) < sweepEvery || !s.swept.CompareAndSwap(last, &now) {
		return nil
	}
	var over []hold
	err := s.query(ctx, s.db, "over_holds", named{"table": s.table}, collectInto(&over, pgx.RowToStructByPos[hold]))
	if err == nil {
		err = s.endHolds(ctx, over)
	}
	return s.wrap("free keys", err)
}

// endHolds ends holds that are over.
func (s *Store) endHolds(ctx context.Context, over []hold) error {
	for _, h := range over {
		if err := s.clearMarks(ctx, h); err != nil {
			return err
		}
		if err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error { return s.endHold(ctx, tx, h) }); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) clearMarks(ctx context.Context, h hold) error {
	after, n := int64(math.MinInt64), freeChunk
	for n == freeChunk {
		err := s.query(ctx, s.db, "clear_some", named{
			"table": s.table, "topic": h.Topic, "key": h.Key, "reason": h.Reason, "after": after, "most": freeChunk,
		}, func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&n, &after}, func() error { return nil })
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) endHold(ctx context.Context, tx pgx.Tx, h hold) error {
	if _, err := tx.Exec(ctx, byIndex); err != nil {
		return err
	}
	key := named{"table": s.table, "topic": h.Topic, "key": h.Key}
	if _, err := tx.Exec(ctx, s.sql["lock_holds"], key); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, s.sql["end_hold"], named{"table": s.table, "topic": h.Topic, "key": h.Key, "reason": h.Reason})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, s.sql["clear_held"], named{"table": s.table, "topics": []string{h.Topic}, "keys": []string{h.Key}})
	return err
}
