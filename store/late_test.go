package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

// A transaction takes its place early and commits late, behind the place that
// reading has reached; and when it has, the next one writes the same key. What that
// one wrote lies ahead, and must not be handed out first, also if the slot was read
// to its end, or what was written is scheduled, and due.
//
// trap: 1
func TestReadingOnDoesNotOvertakeALateCommit(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{store.ClaimShard, store.ClaimRow} {
		for place, reads := range map[string][]int{"in the middle": {2, 2}, "at the end": {20}} {
			for _, scheduled := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, scheduled %v", mode, place, scheduled), func(t *testing.T) {
					t.Parallel()
					readOnBehindALateCommit(t, mode, reads, scheduled)
				})
			}
		}
	}
}

func readOnBehindALateCommit(t *testing.T, mode string, reads []int, scheduled bool) {
	t.Helper()
	b := newBed(t)
	s := b.open(t, store.Config{Claim: mode})
	other, late := b.twoKeysOfASlot(t)
	write := func(tx pgx.Tx, key string) {
		_, err := store.Outbox{}.Enqueue(t.Context(), tx, event(key, 0))
		require.NoError(t, err)
	}
	c, err := s.Claim(t.Context(), []int{slotOf(t, b.db, late)})
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

	b.enqueue(t, other, other)
	tx, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	write(tx, late)
	b.enqueue(t, other, other, other)
	for _, n := range reads {
		fetch(n)
	}
	next, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = next.Exec(t.Context(), "create temporary table its_own_work ()") // it is under way, and waits for the key
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	write(next, late)
	if scheduled {
		_, err = next.Exec(t.Context(), "update outbox_events set created_at = created_at - interval '2 seconds' where seq = (select max(seq) from outbox_events)")
		require.NoError(t, err)
	}
	require.NoError(t, next.Commit(t.Context()))
	fetch(2)
	fetch(2)
	require.Empty(t, got)
	for range 4 {
		c.Rewind()
		fetch(20)
	}
	require.Len(t, got, 2)
	require.IsIncreasing(t, got)
}

// twoKeysOfASlot are read by one cursor.
func (b *bed) twoKeysOfASlot(t *testing.T) (string, string) {
	t.Helper()
	for n := 0; ; n++ {
		if key := fmt.Sprint("late-", n); slotOf(t, b.db, key) == slotOf(t, b.db, "early") {
			return "early", key
		}
	}
}

// An adopted table's rows were numbered by hand, and nobody has been given a number
// since: a read goes on from page to page all the same.
func TestReadingOnInATableOfWhichNoNumberWasGiven(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	keys := slices.Repeat([]string{"a", "b"}, 20)
	b.enqueue(t, keys...)
	b.exec(t, "alter sequence outbox_events_seq_seq start with 1000000000000 restart")
	require.Len(t, fetchAll(t, claim(t, b.open(t, minute("w1"))), 10), len(keys))
}
