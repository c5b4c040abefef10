package storetest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
)

func fetching() []Test {
	return []Test{
		{Name: "a due event is fetched until it is completed and never after", Run: fetchedUntilCompleted},
		{Name: "an event is read as it was written", Run: readAsWritten},
		{Name: "an event comes twice only after a rewind", Run: twiceOnlyAfterRewind},
		{Name: "more is true until the end", Run: moreUntilTheEnd},
		{Name: "a fetch returns at most n events and at most the bytes allowed", Run: bounded},
		{Name: "a scheduled event does not come before its time", Run: notBeforeItsTime},
		{Name: "due tells which slots have something due", Run: dueTells},
		{Name: "a paused pipeline hands out nothing", Run: pausedPipeline},
	}
}

func fetchedUntilCompleted(t testing.TB, s System) {
	written := enqueue(t, s, "a", "b", "a", "c", "a")
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	require.ElementsMatch(t, written, ids(events))
	if !s.ClaimsRows() { // rows that are leased do not come again
		events = w.again(t)
		require.ElementsMatch(t, written, ids(events), "a rewind brings what is not settled")
	}
	w.complete(t, events...)
	require.Empty(t, w.again(t))
	require.Equal(t, omnibox.StatusCompleted, row(t, s, written[0]).Status)
	require.NoError(t, w.Release(t.Context()))
	w.claim(t)
	require.Empty(t, w.rest(t))
}

func readAsWritten(t testing.TB, s System) {
	in := event("a")
	in.Payload = json.RawMessage(`{"text": "a: b,  \"c\\", "price": 1.50}`)
	in.Headers = map[string]string{"x-one": "1"}
	in.SchemaVersion, in.TraceID, in.CorrelationID, in.CausationID = "1.0.0", "t", "co", "ca"
	in.IdempotencyKey, in.MaxAttempts = "once", 3
	id := write(t, s, in)[0]
	w := hire(t, s, config("w1"))
	got := w.rest(t)
	require.Len(t, got, 1)
	out := got[0]
	compact := json.RawMessage(`{"text":"a: b,  \"c\\","price":1.50}`)
	require.Equal(t, any(compact), out.Payload, "compact, numbers as written")
	require.Equal(t, id, out.ID)
	require.False(t, out.CreatedAt.IsZero())
	require.Positive(t, out.Seq)
	require.WithinDuration(t, out.CreatedAt, out.ScheduledAt, time.Second)
	in.ID, in.Payload, in.CreatedAt, in.ScheduledAt, in.Seq, in.Fence = id, out.Payload, out.CreatedAt, out.ScheduledAt, out.Seq, out.Fence
	in.Origin = out.Origin // another test's
	require.Equal(t, in, out)
}

func twiceOnlyAfterRewind(t testing.TB, s System) {
	var keys []string
	for _, k := range []string{"a", "b", "c", "d"} {
		for range 10 {
			keys = append(keys, k)
		}
	}
	written := enqueue(t, s, keys...)
	w := hire(t, s, config("w1"))
	seen := map[uuid.UUID]bool{}
	for range 2 {
		for _, e := range w.rest(t) {
			require.False(t, seen[e.ID], "event came twice")
			seen[e.ID] = true
		}
	}
	require.Len(t, seen, len(written))
	if !s.ClaimsRows() {
		require.Len(t, w.again(t), len(written))
	}
}

func moreUntilTheEnd(t testing.TB, s System) {
	enqueue(t, s, "a", "b", "c", "d", "e")
	w := hire(t, s, config("w1"))
	for got := 0; got < 5; {
		events, more, err := w.Fetch(t.Context(), 1)
		require.NoError(t, err)
		got += len(events)
		require.True(t, more || got == 5, "%d of 5 read", got)
	}
	events, more, err := w.Fetch(t.Context(), 1)
	require.NoError(t, err)
	require.Empty(t, events)
	require.False(t, more)
}

func bounded(t testing.TB, s System) {
	const each = 2000
	var events []omnibox.Event
	for range 12 {
		e := event("k" + uuid.NewString())
		// random, since Postgres may compress
		e.Payload = map[string]string{"text": strings.Repeat(uuid.NewString(), each/36)}
		e.Body = nil
		events = append(events, e)
	}
	write(t, s, events...)
	cfg := config("w1")
	cfg.MaxFetchBytes = 100 // less than any event
	w := hire(t, s, cfg)
	for range events {
		got, _, err := w.Fetch(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, got, 1, "one event, however large")
		w.complete(t, got...)
	}
	require.NoError(t, w.Release(t.Context()))
	write(t, s, events...)
	w = hire(t, s, config("w2"))
	got, _, err := w.Fetch(t.Context(), 7)
	require.NoError(t, err)
	require.LessOrEqual(t, len(got), 7)
	require.NotEmpty(t, got)
}

func notBeforeItsTime(t testing.TB, s System) {
	later := event("a")
	later.ScheduledAt = time.Now().Add(time.Hour)
	scheduled := write(t, s, later)[0]
	now := enqueue(t, s, "a", "b")
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	require.ElementsMatch(t, now, ids(events), "a scheduled event holds nothing")
	w.complete(t, events...)
	next := enqueue(t, s, "a")
	s.Elapse(t, time.Hour+time.Minute)
	events = w.again(t)
	require.Equal(t, []uuid.UUID{scheduled, next[0]}, ids(events), "when it is due it takes its place")
}

func dueTells(t testing.TB, s System) {
	w := s.Open(t, config("w1"))
	due := func() []int {
		due, err := w.Due(t.Context(), slots())
		require.NoError(t, err)
		return due
	}
	require.Empty(t, due())
	later := event("a")
	later.ScheduledAt = time.Now().Add(time.Hour)
	write(t, s, later)
	require.Empty(t, due())
	s.Elapse(t, time.Hour+time.Minute)
	require.Len(t, due(), 1)
	w2 := hire(t, s, config("w2"))
	events := w2.rest(t)
	require.NoError(t, w2.Release(t.Context()))
	require.Equal(t, []int{events[0].Fence.Slot}, due())
	none, err := w.Due(t.Context(), []int{(events[0].Fence.Slot + 1) % omnibox.Slots})
	require.NoError(t, err)
	require.Empty(t, none)
	s.Pause(t, true)
	require.Empty(t, due(), "paused")
}

func pausedPipeline(t testing.TB, s System) {
	enqueue(t, s, "a", "b")
	w := hire(t, s, config("w1"))
	before, _, err := w.Fetch(t.Context(), 1)
	require.NoError(t, err)
	s.Pause(t, true)
	_, _, err = w.Fetch(t.Context(), 1)
	require.ErrorIs(t, err, omnibox.ErrPaused)
	require.ErrorIs(t, w.Extend(t.Context()), omnibox.ErrPaused)
	_, err = w.Store.Claim(t.Context(), slots())
	require.ErrorIs(t, err, omnibox.ErrPaused)
	w.complete(t, before...) // what is in hand may be settled
	require.NoError(t, w.Release(t.Context()))
	s.Pause(t, false)
	w.claim(t)
	require.Len(t, w.rest(t), 1)
}
