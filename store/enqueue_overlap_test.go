package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

// A key that another transaction is writing is waited for: it is a duplicate if
// that one commits, and free if it does not.
func TestEnqueueWaitsForTheWriterOfAKey(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(context.Context, pgx.Tx) error{
		"commit":   func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
		"rollback": func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pool(t, outboxURL(t))
			keyed := order(1)
			keyed.IdempotencyKey = "once"
			tx, err := db.Begin(t.Context())
			require.NoError(t, err)
			first, err := store.Outbox{}.Enqueue(t.Context(), tx, keyed)
			require.NoError(t, err)

			var second store.Enqueued
			done := make(chan error, 1)
			go func() {
				done <- pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) (err error) {
					second, err = store.Outbox{}.Enqueue(t.Context(), tx, keyed)
					return err
				})
			}()
			waitForALock(t, db)
			require.NoError(t, end(t.Context(), tx))
			require.NoError(t, <-done)
			got := second.Events[0]
			require.Equal(t, name == "commit", got.Duplicate)
			require.Equal(t, name == "commit", got.ID == first.Events[0].ID)
		})
	}
}

func TestSerializeKeysOrdersByCommit(t *testing.T) {
	t.Parallel()
	db := pool(t, outboxURL(t))
	serial := store.Outbox{SerializeKeys: true}
	tx, err := db.Begin(t.Context())
	require.NoError(t, err)
	_, err = serial.Enqueue(t.Context(), tx, order(1), order(2))
	require.NoError(t, err)

	// Another key does not wait.
	require.NoError(t, pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
		_, err := serial.Enqueue(t.Context(), tx, order(3))
		return err
	}))
	later := make(chan error, 1)
	go func() {
		later <- pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
			_, err := serial.Enqueue(t.Context(), tx, order(12))
			return err
		})
	}()
	waitForALock(t, db)
	_, err = serial.Enqueue(t.Context(), tx, order(22))
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-later)
	rows, err := db.Query(t.Context(), "select (payload->>'n')::int from outbox_events where partition_key = 'k2' order by seq")
	require.NoError(t, err)
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(t, err)
	require.Equal(t, []int{2, 22, 12}, numbers)
}

// waitForALock returns when a session of the database waits for a lock.
func waitForALock(t *testing.T, db *pgxpool.Pool) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waiting bool
		err := db.QueryRow(t.Context(), `select exists (select from pg_locks l join pg_stat_activity a using (pid)
			where not l.granted and a.datname = current_database())`).Scan(&waiting)
		return err == nil && waiting
	}, time.Minute, 5*time.Millisecond)
}
