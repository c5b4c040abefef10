package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// When a partition changes hands its old consumer may still land what the new one
// lands too: the places in the order are those of the offsets all the same.
func TestTwoConsumersOfAPartitionKeepItsOrder(t *testing.T) {
	t.Parallel()
	for name, onComplete := range map[string]string{"by rows": "keep", "by keys": "delete"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := inboxBed(t, false)
			old, young := b.inbox(t, store.Config{OnComplete: onComplete}), b.inbox(t, store.Config{OnComplete: onComplete})
			var all []*omnibox.Event
			for n := range int64(3) {
				all = append(all, message("a", n))
			}
			land(t, old, message("b", 9)) // so that what is asked only once has been

			// somebody has the first message in hand, and does not land it in the end
			tx, err := b.db.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), `insert into inbox_events (id, message_id, consumer_group, source, event_type, payload)
				values (gen_random_uuid(), 'm0', 'billing', 'shop', 'x', '{"n":1}')`)
			require.NoError(t, err)
			if onComplete == "delete" {
				_, err = tx.Exec(t.Context(), `insert into omnibox.inbox_keys values ('public.inbox_events', 'billing', 'm0', gen_random_uuid(), now())`)
				require.NoError(t, err)
			}
			landed := make(chan error, 2)
			go func() { _, err := old.Land(t.Context(), all); landed <- err }()
			b.awaitWaiting(t, 1)
			go func() { _, err := young.Land(t.Context(), all[1:2]); landed <- err }()
			require.Eventually(t, func() bool { return b.waitingForLocks(t) == 2 || len(landed) == 1 }, time.Minute, 5*time.Millisecond)
			require.NoError(t, tx.Rollback(t.Context()))
			require.NoError(t, <-landed)
			require.NoError(t, <-landed)

			rows, err := b.db.Query(t.Context(), "select message_id from inbox_events where partition_key = 'a' order by seq")
			require.NoError(t, err)
			ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			require.Equal(t, []string{"m0", "m1", "m2"}, ids)
		})
	}
}

// waitingForLocks is how many sessions of the database wait for others.
func (b *bed) waitingForLocks(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, b.db.QueryRow(t.Context(),
		"select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'").Scan(&n))
	return n
}

func (b *bed) awaitWaiting(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return b.waitingForLocks(t) == n }, time.Minute, 5*time.Millisecond)
}
