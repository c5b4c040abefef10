package storetest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func holding() []Test {
	return []Test{
		{Name: "a paused key waits and others flow", Run: pausedKey},
		{Name: "a key with many blocked rows hides nothing behind them", Run: manyBlocked},
	}
}

func pausedKey(t testing.TB, s System) {
	written := enqueue(t, s, "a", "b", "a", "b")
	s.HoldKey(t, key("a"))
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	require.Equal(t, []string{"b", "b"}, []string{events[0].Key, events[1].Key})
	require.Len(t, events, 2)
	w.complete(t, events...)
	require.Empty(t, w.again(t))
	s.FreeKey(t, key("a"))
	late := enqueue(t, s, "a")
	events = w.again(t)
	require.Equal(t, slices.Concat(written[:1], written[2:3], late), ids(events))
}

func manyBlocked(t testing.TB, s System) {
	blocked := slices.Repeat([]string{"a"}, 200)
	enqueue(t, s, blocked...)
	s.HoldKey(t, key("a"))
	other := enqueue(t, s, "b")
	w := hire(t, s, config("w1"))
	events, _, err := w.Fetch(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, other, ids(events))
}
