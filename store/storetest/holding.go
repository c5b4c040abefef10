package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
)

func holding() []Test {
	return []Test{
		{Name: "a paused key waits and others flow", Run: pausedKey},
		{Name: "a key paused while it waits for a retry goes on when it is resumed", Run: pausedWhileRetried},
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

func pausedWhileRetried(t testing.TB, s System) {
	written := enqueue(t, s, "k", "k")
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	w.settle(t, retry(&events[0]))
	w.settle(t, all(omnibox.Released, events[1:])...)
	s.HoldKey(t, key("k"))
	s.Elapse(t, 2*time.Minute)
	require.Empty(t, w.again(t), "the retry is due, but the key is paused")
	s.FreeKey(t, key("k"))
	events = w.again(t)
	require.Equal(t, written[:1], ids(events), "the retry, and nothing behind it")
	w.complete(t, events...)
	require.Equal(t, written[1:], ids(w.again(t)))
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
