package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
)

func ordering() []Test {
	return []Test{
		{Name: "events of a key come in order of seq", Run: orderOfSeq},
		{Name: "a transaction that commits late loses nothing", Run: lateCommit},
		{Name: "of overlapping transactions the order is that of the inserts, once both are seen", Run: overlapping},
		{Name: "a scheduled event that is due does not overtake its elders", Run: scheduledInPlace},
		{Name: "a failed event is overtaken by none of its key and by all of others", Run: failedBlocks},
		{Name: "what was passed over is not overtaken when it is set free", Run: notOvertakenWhenFreed},
		{Name: "with skip, later events overtake a failed one", Run: skipOvertakes},
	}
}

func orderOfSeq(t testing.TB, s System) {
	var keys []string
	for i := range 300 {
		keys = append(keys, fmt.Sprintf("key-%d", i%7))
	}
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	written := enqueue(t, s, keys...)
	events := hire(t, s, config("w1")).rest(t)
	require.Len(t, events, len(written))
	inOrder(t, events)
	byID := map[string]int{}
	for i, id := range written {
		byID[id.String()] = i
	}
	last := map[string]int{}
	for _, e := range events {
		place := byID[e.ID.String()]
		require.GreaterOrEqual(t, place, last[e.Key], "the order of the calls")
		last[e.Key] = place
	}
}

// trap: 1
func lateCommit(t testing.TB, s System) {
	a := s.Begin(t)
	late := a.Enqueue(t, event("a"))
	early := enqueue(t, s, "b")
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	require.Equal(t, early, ids(events))
	w.complete(t, events...)
	a.Commit(t)
	require.Equal(t, late, ids(w.again(t)))
}

// trap: 2
func overlapping(t testing.TB, s System) {
	a := s.Begin(t)
	first := a.Enqueue(t, event("k"))
	b := s.Begin(t)
	second := b.Enqueue(t, event("k"))
	b.Commit(t)
	w := hire(t, s, config("w1"))
	require.Equal(t, second, ids(w.rest(t)), "what is not committed holds nothing")
	a.Commit(t)
	require.NoError(t, w.Release(t.Context()))
	w.claim(t)
	require.Equal(t, append(first, second...), ids(w.rest(t)))
}

func scheduledInPlace(t testing.TB, s System) {
	first := enqueue(t, s, "k", "k", "k")
	sched := event("k")
	sched.ScheduledAt = time.Now().Add(10 * time.Second)
	scheduled := write(t, s, sched)
	last := enqueue(t, s, "k", "k", "k")
	s.Elapse(t, time.Minute)
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	// A read in small pages may reach those behind it first; none before it.
	place := map[string]int{}
	for i, e := range events {
		place[e.ID.String()] = i
	}
	require.Len(t, events, len(first)+1+len(last))
	for _, id := range first {
		require.Less(t, place[id.String()], place[scheduled[0].String()])
	}
}

// trap: 3
func failedBlocks(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a", "a", "b")
	w := hire(t, s, config("w1"))
	for attempt := 1; attempt <= 3; attempt++ {
		events := w.again(t)
		require.NotEmpty(t, events)
		require.Equal(t, written[0], events[0].ID)
		require.Equal(t, attempt-1, events[0].Attempts)
		require.Equal(t, attempt > 1, events[0].HoldsKey)
		w.settle(t, retry(&events[0]))
		for _, e := range events[1:] {
			if attempt == 1 && e.Key == "b" {
				w.complete(t, e)
			} else {
				require.Equal(t, 1, attempt, "only the first read finds the key free")
				w.settle(t, all(omnibox.Released, []omnibox.Event{e})...)
			}
		}
		require.Empty(t, w.again(t), "nothing of the key before the delay is over")
		s.Elapse(t, 2*time.Minute)
	}
	other := enqueue(t, s, "c")
	events := w.again(t)
	require.ElementsMatch(t, append(other, written[0]), ids(events), "other keys flow")
	w.complete(t, events...)
	require.Equal(t, written[1:3], ids(w.again(t)), "those behind come when it is done, in order")
}

// The interleaving at type cursors.
func notOvertakenWhenFreed(t testing.TB, s System) {
	written := enqueue(t, s, "k", "k", "k")
	w := hire(t, s, config("w1"))
	first, _, err := w.Fetch(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, written[:1], ids(first))
	again := retry(&first[0])
	w.settle(t, again)
	require.Empty(t, w.rest(t), "2 and 3 are read and found blocked")
	s.Elapse(t, 2*time.Minute)
	events, _, err := w.Fetch(t.Context(), 10)
	require.NoError(t, err)
	if len(events) == 0 {
		events = w.again(t) // the clock was moved under the cursor
	}
	require.Equal(t, written[:1], ids(events))
	fourth := enqueue(t, s, "k")
	w.complete(t, events...)
	require.Empty(t, w.rest(t), "4 does not overtake 2 and 3")
	require.Equal(t, append(written[1:3:3], fourth...), ids(w.again(t)))
}

func skipOvertakes(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a")
	cfg := config("w1")
	cfg.BehindFailure = "skip"
	w := hire(t, s, cfg)
	events := w.rest(t)
	w.settle(t, retry(&events[0]))
	w.complete(t, events[1])
	third := enqueue(t, s, "a")
	events = w.again(t)
	require.Equal(t, third, ids(events))
	w.complete(t, events...)
	s.Elapse(t, 2*time.Minute)
	events = w.again(t)
	require.Equal(t, written[:1], ids(events))
	require.False(t, events[0].HoldsKey)
}
