package store_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

// A transaction takes its place early and commits late, behind the place that
// reading has reached; and when it has, the next one writes the same key. What that
// one wrote lies ahead, and must not be handed out first.
//
// trap: 1
func TestReadingOnDoesNotOvertakeALateCommit(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{store.ClaimShard, store.ClaimRow} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			s := b.open(t, store.Config{Claim: mode})
			other, late := b.twoKeysOfASlot(t)
			write := func(tx pgx.Tx, keys ...string) {
				for _, key := range keys {
					e := order(1)
					e.Key = key
					_, err := store.Outbox{}.Enqueue(t.Context(), tx, e)
					require.NoError(t, err)
				}
			}
			writeNow := func(keys ...string) {
				require.NoError(t, pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error { write(tx, keys...); return nil }))
			}
			c, err := s.Claim(t.Context(), []int{one[int](t, b, "select hashtextextended($1, hashtextextended('orders', 0)) & 63", late)})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, c.Release(context.WithoutCancel(t.Context()))) })
			var got []int64 // places of the late key, as they are handed out
			fetch := func(n int) {
				events, _, err := c.Fetch(t.Context(), n)
				require.NoError(t, err)
				for _, e := range events {
					if e.Key == late {
						got = append(got, e.Seq)
					}
				}
				require.NoError(t, s.Commit(t.Context(), completed(events...)))
			}

			writeNow(other, other)
			tx, err := b.db.Begin(t.Context())
			require.NoError(t, err)
			write(tx, late)
			writeNow(other, other, other)
			fetch(2)
			fetch(2) // behind what the transaction has written
			next, err := b.db.Begin(t.Context())
			require.NoError(t, err)
			_, err = next.Exec(t.Context(), "create temporary table its_own_work ()") // it is under way, and waits for the key
			require.NoError(t, err)
			require.NoError(t, tx.Commit(t.Context()))
			write(next, late)
			require.NoError(t, next.Commit(t.Context()))
			fetch(2)
			require.Empty(t, got)
			for range 4 {
				c.Rewind()
				fetch(20)
			}
			require.Len(t, got, 2)
			require.IsIncreasing(t, got)
		})
	}
}

// twoKeysOfASlot are read by one cursor.
func (b *bed) twoKeysOfASlot(t *testing.T) (string, string) {
	t.Helper()
	return "early", one[string](t, b, `select 'late-' || n from generate_series(1, 10000) n
		where hashtextextended('late-' || n, hashtextextended('orders', 0)) & 63 = hashtextextended('early', hashtextextended('orders', 0)) & 63 limit 1`)
}
