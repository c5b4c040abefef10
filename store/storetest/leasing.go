package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
)

func leasing() []Test {
	return []Test{
		{Name: "what one worker has in hand nobody else gets, nor anything behind it", Run: oneOwner},
		{Name: "another worker takes over when leases have run out", Run: takeover},
		{Name: "a stale fence changes nothing, even of the same worker", Run: staleFence},
		{Name: "a fence that was stale before a replay is stale after it", Run: staleAfterReplay},
		{Name: "what is not stale is written beside what is", Run: besideStale},
		{Name: "extend keeps the leases", Run: extendKeeps},
		{Name: "slots that were lost leave the claim", Run: lostLeave, Slots: true},
		{Name: "extend takes what has become free", Run: extendTakes, Slots: true},
		{Name: "release gives everything up, also when its context has ended", Run: releaseGivesUp},
	}
}

func oneOwner(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a", "b")
	w1 := hire(t, s, config("w1"))
	events, _, err := w1.Fetch(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, events, 1)
	w2 := hire(t, s, config("w2"))
	for _, e := range w2.rest(t) {
		require.NotEqual(t, events[0].Key, e.Key)
		require.True(t, s.ClaimsRows(), "a slot has one owner")
	}
	require.Len(t, written, 3)
}

func takeover(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a", "b")
	require.Len(t, hire(t, s, config("w1")).rest(t), 3)
	s.Expire(t)
	w2 := hire(t, s, config("w2"))
	events := w2.rest(t)
	require.ElementsMatch(t, written, ids(events))
	inOrder(t, events)
	w2.complete(t, events...)
}

// trap: 9
// trap: 10
// trap: 11
func staleFence(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w := hire(t, s, config("w1"))
	first := w.rest(t)
	s.Expire(t)
	same := hire(t, s, config("w1"))
	second := same.rest(t)
	require.Len(t, second, 1)
	require.ErrorIs(t, w.Extend(t.Context()), omnibox.ErrLeaseLost)
	for _, v := range []omnibox.Verdict{omnibox.Completed, omnibox.Skipped} {
		require.ErrorIs(t, w.Commit(t.Context(), all(v, first)), omnibox.ErrLeaseLost)
	}
	require.ErrorIs(t, w.Commit(t.Context(), []omnibox.Outcome{retry(&first[0])}), omnibox.ErrLeaseLost)
	require.ErrorIs(t, w.Commit(t.Context(), []omnibox.Outcome{dead(&first[0])}), omnibox.ErrLeaseLost)
	require.NoError(t, w.Release(t.Context()), "it has nothing to give up")
	got := row(t, s, id)
	require.Equal(t, omnibox.StatusPending, got.Status)
	require.Zero(t, got.Attempts)
	require.Empty(t, s.DeadLetters(t))
	same.complete(t, second...)
	require.Equal(t, omnibox.StatusCompleted, row(t, s, id).Status)
}

func staleAfterReplay(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w := hire(t, s, config("w1"))
	stale := w.rest(t)
	s.Expire(t)
	same := hire(t, s, config("w1"))
	events := same.rest(t)
	require.Len(t, events, 1)
	same.settle(t, dead(&events[0]))
	s.Replay(t, id)
	events = same.again(t)
	require.Len(t, events, 1)
	require.ErrorIs(t, w.Commit(t.Context(), all(omnibox.Completed, stale)), omnibox.ErrLeaseLost)
	require.Equal(t, omnibox.StatusPending, row(t, s, id).Status)
	same.complete(t, events...)
}

func besideStale(t testing.TB, s System) {
	enqueue(t, s, "a")
	w := hire(t, s, config("w1"))
	stale := w.rest(t)
	s.Expire(t)
	w2 := hire(t, s, config("w2"))
	require.Len(t, w2.rest(t), 1)
	id := enqueue(t, s, "b")[0]
	events := w2.again(t)
	i := 0
	for events[i].Key != "b" {
		i++
	}
	mixed := all(omnibox.Completed, []omnibox.Event{stale[0], events[i]})
	require.ErrorIs(t, w2.Commit(t.Context(), mixed), omnibox.ErrLeaseLost)
	require.Equal(t, omnibox.StatusCompleted, row(t, s, id).Status)
	require.Equal(t, omnibox.StatusPending, row(t, s, stale[0].ID).Status)
}

func extendKeeps(t testing.TB, s System) {
	enqueue(t, s, "a")
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	s.Expire(t) // nobody has taken it yet
	before := w.Deadline()
	require.NoError(t, w.Extend(t.Context()))
	require.False(t, w.Deadline().Before(before))
	require.Len(t, w.Slots(), omnibox.Slots)
	require.Empty(t, hire(t, s, config("w2")).rest(t))
	w.complete(t, events...)
}

func lostLeave(t testing.TB, s System) {
	w := hire(t, s, config("w1"))
	s.Expire(t)
	other := s.Open(t, config("w2"))
	taken, err := other.Claim(t.Context(), []int{3, 4})
	require.NoError(t, err)
	require.Equal(t, []int{3, 4}, taken.Slots())
	require.ErrorIs(t, w.Extend(t.Context()), omnibox.ErrLeaseLost)
	require.Len(t, w.Slots(), omnibox.Slots-2)
	require.NotContains(t, w.Slots(), 3)
	require.NoError(t, w.Extend(t.Context()), "what was lost is lost once")
	require.WithinRange(t, w.Deadline(), time.Now(), time.Now().Add(time.Minute))
}

func extendTakes(t testing.TB, s System) {
	w1 := s.Open(t, config("w1"))
	half, err := w1.Claim(t.Context(), slots()[:32])
	require.NoError(t, err)
	w2 := hire(t, s, config("w2"))
	require.Equal(t, slots()[32:], w2.Slots())
	require.NoError(t, half.Release(t.Context()))
	require.NoError(t, w2.Extend(t.Context()))
	require.Equal(t, slots(), w2.Slots())
	enqueue(t, s, "a", "b", "c", "d", "e", "f")
	require.Len(t, w2.rest(t), 6)
}

// trap: 17
func releaseGivesUp(t testing.TB, s System) {
	written := enqueue(t, s, "a", "b")
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	require.Len(t, events, 2)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, w.Release(ended))
	next := hire(t, s, config("w2"))
	got := next.rest(t)
	require.ElementsMatch(t, written, ids(got), "at once, without waiting for a lease to run out")
	for _, e := range got {
		require.False(t, e.Suspect)
		require.Zero(t, e.Attempts)
	}
	require.NotContains(t, ids(got), uuid.Nil)
}
