package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
)

func suspecting() []Test {
	return []Test{
		{Name: "after an owner that did not finish its events are suspect, and later ones are not", Run: suspects},
		{Name: "a mark is counted in the row and in the event before it returns", Run: marks},
		{Name: "an orderly end sets the count of fetches back", Run: orderlyEnd},
		{Name: "a mark under a stale fence is refused", Run: staleMark},
	}
}

// trap: 12
func suspects(t testing.TB, s System) {
	written := enqueue(t, s, "a", "b", "c")
	for _, e := range hire(t, s, config("w1")).rest(t) {
		require.False(t, e.Suspect)
	}
	s.Expire(t)
	w := hire(t, s, config("w2"))
	events := w.rest(t)
	require.Len(t, events, len(written))
	for _, e := range events {
		require.True(t, e.Suspect)
	}
	w.complete(t, events...)
	enqueue(t, s, "a", "b")
	for _, e := range w.again(t) {
		require.False(t, e.Suspect, "the last owner cannot have had it")
	}
}

func marks(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	for n := 1; n <= 3; n++ {
		w := hire(t, s, config("w1"))
		events := w.rest(t)
		require.Len(t, events, 1)
		require.Equal(t, n-1, events[0].Fetches)
		require.Equal(t, n > 1, events[0].Suspect)
		require.NoError(t, w.Mark(t.Context(), []*omnibox.Event{&events[0]}))
		require.Equal(t, n, events[0].Fetches)
		require.Equal(t, n, row(t, s, id).Fetches)
		s.Expire(t) // its worker is killed
	}
	require.Zero(t, row(t, s, id).Attempts)
}

func orderlyEnd(t testing.TB, s System) {
	written := enqueue(t, s, "a", "b")
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	require.NoError(t, w.Mark(t.Context(), []*omnibox.Event{&events[0], &events[1]}))
	released := omnibox.Outcome{Event: &events[0], Verdict: omnibox.Released}
	w.settle(t, released, retry(&events[1]))
	require.Zero(t, row(t, s, written[0]).Fetches)
	require.Zero(t, row(t, s, written[1]).Fetches)
}

func staleMark(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	s.Expire(t)
	require.Len(t, hire(t, s, config("w2")).rest(t), 1)
	require.ErrorIs(t, w.Mark(t.Context(), []*omnibox.Event{&events[0]}), omnibox.ErrLeaseLost)
	require.Zero(t, events[0].Fetches)
	require.Zero(t, row(t, s, id).Fetches)
}
