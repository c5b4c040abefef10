package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// byIndex keeps the planner to indexes until the transaction ends. Its
// statistics lag behind an outbox, where millions of rows become due, and final,
// within minutes: it takes a backlog for a handful of rows, and then sorts all of
// it for every fetch, or scans the table for every settle. Each statement here
// that runs under it has an index that fits at any size.
const byIndex = "select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)"

// batcher is a pool or a transaction.
type batcher interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// query runs a statement under byIndex, in the same round trip, and in one
// transaction with it when db is the pool. read must read or close the rows.
func (s *Store) query(ctx context.Context, db batcher, name string, args named, read func(pgx.Rows) error) error {
	return s.queryUnder(ctx, db, byIndex, name, args, read)
}

// queryUnder is query under other settings, which last until the transaction ends.
func (s *Store) queryUnder(ctx context.Context, db batcher, settings, name string, args named, read func(pgx.Rows) error) error {
	var b pgx.Batch
	b.Queue(settings)
	b.Queue(s.sql[name], args)
	results := db.SendBatch(ctx, &b)
	err := func() error {
		if _, err := results.Exec(); err != nil {
			return err
		}
		rows, err := results.Query()
		if err != nil {
			return err
		}
		return read(rows)
	}()
	if closed := results.Close(); err == nil {
		err = closed
	}
	return err
}

// collectInto makes a reader of all rows.
func collectInto[T any](to *[]T, row pgx.RowToFunc[T]) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*to, err = pgx.CollectRows(rows, row)
		return err
	}
}

// done reads a statement that returns nothing.
func done(rows pgx.Rows) error {
	rows.Close()
	return rows.Err()
}
