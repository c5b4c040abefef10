package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// retryAfter is the outcome of a counted failure.
func retryAfter(e *omnibox.Event, delay time.Duration) omnibox.Outcome {
	return omnibox.Outcome{
		Event: e, Verdict: omnibox.Retry, Class: omnibox.ClassTransient, Error: "boom", Counted: true, Attempts: e.Attempts + 1, Delay: delay,
	}
}

// A hold does not outlive its event, whoever ends that.
func TestAKeyGoesOnWhenItsHolderIsGone(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"completed": "update outbox_events set status = 'completed', completed_at = now() where id = $1",
		"failed":    "update outbox_events set status = 'failed', attempts_made = max_attempts where id = $1",
		"deleted":   "delete from outbox_events where id = $1",
	} {
		for _, mode := range []string{store.ClaimShard, store.ClaimRow} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				b := newBed(t)
				written := b.enqueue(t, "k", "k", "k", "other")
				s := b.open(t, store.Config{Claim: mode, Lease: time.Minute})
				c := claim(t, s)
				events := fetchAll(t, c, 10)
				require.NoError(t, s.Commit(t.Context(), []omnibox.Outcome{
					retryAfter(&events[0], time.Hour), released(&events[1]), released(&events[2]), released(&events[3]),
				}))
				c.Rewind()
				rest := fetchAll(t, c, 10)
				require.Equal(t, written[3:], idsOf(rest), "what is behind the failed one is marked")
				require.NoError(t, s.Commit(t.Context(), completed(rest...)))
				require.NoError(t, c.Release(t.Context()))

				b.exec(t, sql, [16]byte(written[0]))
				s.SweepForTest()
				due, err := s.Due(t.Context(), allSlots())
				require.NoError(t, err)
				require.Len(t, due, 1, "nothing else wakes a worker up")
				require.Equal(t, written[1:3], idsOf(fetchAll(t, claim(t, s), 10)))
				require.Zero(t, one[int](t, b, "select count(*) from omnibox.holds"))
			})
		}
	}
}

func released(e *omnibox.Event) omnibox.Outcome {
	return omnibox.Outcome{Event: e, Verdict: omnibox.Released}
}

// bigKey is a key whose first event is due again, with n marked ones behind it.
func bigKey(t *testing.T, n int) (*bed, *store.Store, omnibox.Claim, *omnibox.Event) {
	t.Helper()
	b := newBed(t)
	b.enqueue(t, "k")
	s := b.open(t, minute("w1"))
	c := claim(t, s)
	events := fetchAll(t, c, 10)
	require.NoError(t, s.Commit(t.Context(), []omnibox.Outcome{retryAfter(&events[0], 0)}))
	c.Rewind()
	events = fetchAll(t, c, 10)
	require.True(t, events[0].HoldsKey)
	b.exec(t, `insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload, held)
		select gen_random_uuid(), 'orders', 'k', 'order', gen_random_uuid(), 'order.placed', '{"n":1}', true from generate_series(1, $1::int)`, n)
	return b, s, c, &events[0]
}

func (b *bed) held(t testing.TB) int {
	t.Helper()
	return one[int](t, b, "select count(*) from outbox_events where held")
}

func TestALongQueueIsSetFreeBehindTheSettle(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, store.FreeChunkForTest, store.FreeChunkForTest + 1, 3*store.FreeChunkForTest + 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			b, s, c, first := bigKey(t, n)
			require.NoError(t, s.Commit(t.Context(), completed(*first)))
			require.Zero(t, b.held(t))
			require.Zero(t, one[int](t, b, "select count(*) from omnibox.holds"))
			c.Rewind()
			events := fetchAll(t, c, 500)
			require.Len(t, events, n)
			requireInOrder(t, events)
		})
	}
}

// Whoever settles may end before the queue is free: what is written later does
// not overtake it, and the next sweep goes on.
func TestALongQueueIsNotOvertakenWhileItIsSetFree(t *testing.T) {
	t.Parallel()
	const n = 3 * store.FreeChunkForTest
	b, s, c, first := bigKey(t, n)
	require.NoError(t, pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
		return s.CommitTx(t.Context(), tx, completed(*first))
	}))
	require.Equal(t, n, b.held(t), "the settle itself sets nothing free")
	// one chunk is free, then the process ends
	b.exec(t, `update outbox_events set held = false where id in (select id from outbox_events where held order by seq limit 1000)`)
	last := b.enqueue(t, "k")
	for range 2 {
		c.Rewind()
		require.Empty(t, fetchAll(t, c, 500))
		require.Equal(t, n-1000, b.held(t), "what was set free is not marked again")
	}
	s.SweepForTest()
	require.NoError(t, c.Release(t.Context()))
	events := fetchAll(t, claim(t, s), 500)
	require.Len(t, events, n+1)
	requireInOrder(t, events)
	require.Equal(t, last[0], events[n].ID)
}

// A settle ends the hold of an event while a person ends that of the key: one of
// them sets free what is behind both.
func TestTwoHoldsThatEndAtOnceLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	b, s, _, first := bigKey(t, 3)
	_, err := s.PauseKey(t.Context(), store.PauseKeyParams{Key: first.OrderKey(), By: "ann"})
	require.NoError(t, err)
	resumed := make(chan error, 1)
	require.NoError(t, pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
		if err := s.CommitTx(t.Context(), tx, completed(*first)); err != nil {
			return err
		}
		go func() {
			_, err := s.ResumeKey(t.Context(), first.OrderKey())
			resumed <- err
		}()
		require.Eventually(t, func() bool { return b.waitingForLocks(t) == 1 || len(resumed) == 1 }, waitLong, poll)
		return nil
	}))
	require.NoError(t, <-resumed)
	require.Zero(t, one[int](t, b, "select count(*) from omnibox.holds"))
	require.Zero(t, b.held(t), "marks without a hold")
}

// What the settle of several keys sets free at once is bounded for all of them.
func TestASettleSetsSoMuchFreeAtOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	keys := []string{"a", "b", "c", "d"}
	b.enqueue(t, keys...)
	s := b.open(t, minute("w1"))
	c := claim(t, s)
	var failed []omnibox.Outcome
	events := fetchAll(t, c, 10)
	for i := range events {
		failed = append(failed, retryAfter(&events[i], 0))
	}
	require.NoError(t, s.Commit(t.Context(), failed))
	c.Rewind()
	events = fetchAll(t, c, 10)
	require.Len(t, events, len(keys))
	b.exec(t, `insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload, held)
		select gen_random_uuid(), 'orders', k, 'order', gen_random_uuid(), 'order.placed', '{"n":1}', true
		from unnest($1::text[]) k, generate_series(1, 400)`, keys)
	tx := b.begin(t)
	require.NoError(t, s.CommitTx(t.Context(), tx, completed(events...)))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, 800, b.held(t))
	s.SweepForTest()
	require.NoError(t, c.Release(t.Context()))
	require.Len(t, fetchAll(t, claim(t, s), 500), 4*400)
	require.Zero(t, b.held(t))
}

// A fetch that began before the event was settled may mark a row after that:
//
//  1. a fetch has read the rows and is about to mark them
//  2. the event is settled; its hold stays, since much is behind it
//  3. the fetch, whose snapshot still shows the event pending, marks
//  4. the end of the hold waits for the fetch, and takes its marks away
func TestTheEndOfAHoldSeesTheMarksOfAFetchUnderWay(t *testing.T) {
	t.Parallel()
	b, s, _, first := bigKey(t, store.FreeChunkForTest+1)
	late := b.enqueue(t, "k")
	settle := b.begin(t)
	require.NoError(t, s.CommitTx(t.Context(), settle, completed(*first)))
	require.NoError(t, settle.Commit(t.Context()))
	fetch := b.begin(t)
	_, err := fetch.Exec(t.Context(), "select from omnibox.holds for share")
	require.NoError(t, err)
	_, err = fetch.Exec(t.Context(), "update outbox_events set held = true where id = $1", [16]byte(late[0]))
	require.NoError(t, err)
	s.SweepForTest()
	swept := make(chan error, 1)
	go func() {
		_, err := s.Due(t.Context(), allSlots())
		swept <- err
	}()
	b.waitBlocked(t)
	require.NoError(t, fetch.Commit(t.Context()))
	require.NoError(t, <-swept)
	require.Zero(t, b.held(t))
}

// An event that was put back while its queue is set free holds it again.
func TestAReplayedEventKeepsItsHold(t *testing.T) {
	t.Parallel()
	const n = store.FreeChunkForTest + 1
	b, s, c, first := bigKey(t, n)
	tx := b.begin(t)
	require.NoError(t, s.CommitTx(t.Context(), tx, []omnibox.Outcome{{
		Event: first, Verdict: omnibox.Dead, Class: omnibox.ClassPermanent, Error: "never", Attempts: 1,
	}}))
	require.NoError(t, tx.Commit(t.Context()))
	r, err := s.Replay(t.Context(), store.ReplayParams{By: "ann", IDs: []store.DeadID{{Event: first.ID}}})
	require.NoError(t, err)
	require.Equal(t, 1, r.Replayed)
	require.NoError(t, c.Release(t.Context()))
	s.SweepForTest()
	c = claim(t, s)
	events := fetchAll(t, c, 500)
	require.Equal(t, []uuid.UUID{first.ID}, idsOf(events))
	require.NoError(t, s.Commit(t.Context(), completed(events...)))
	c.Rewind()
	events = fetchAll(t, c, 500)
	require.Len(t, events, n)
	require.False(t, slices.ContainsFunc(events, func(e omnibox.Event) bool { return e.HoldsKey }))
}
