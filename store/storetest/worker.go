package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// config of a worker whose leases do not run out during a test.
func config(owner string) store.Config { return store.Config{Owner: owner, Lease: time.Minute} }

// worker is a store with a claim on all slots.
type worker struct {
	Store
	omnibox.Claim
}

func hire(t testing.TB, s System, cfg store.Config) *worker {
	t.Helper()
	w := &worker{Store: s.Open(t, cfg)}
	w.claim(t)
	return w
}

func (w *worker) claim(t testing.TB) {
	t.Helper()
	c, err := w.Store.Claim(t.Context(), slots())
	require.NoError(t, err)
	w.Claim = c
}

func slots() []int {
	all := make([]int, omnibox.Slots)
	for i := range all {
		all[i] = i
	}
	return all
}

// rest reads to the end, ten at a time.
func (w *worker) rest(t testing.TB) []omnibox.Event {
	t.Helper()
	const n = 10
	var all []omnibox.Event
	for range 10_000 {
		events, more, err := w.Fetch(t.Context(), n)
		require.NoError(t, err)
		require.LessOrEqual(t, len(events), n)
		all = append(all, events...)
		if !more {
			return all
		}
	}
	require.Fail(t, "reading does not end")
	return nil
}

// again reads from the start to the end.
func (w *worker) again(t testing.TB) []omnibox.Event {
	t.Helper()
	w.Rewind()
	return w.rest(t)
}

func (w *worker) settle(t testing.TB, out ...omnibox.Outcome) {
	t.Helper()
	require.NoError(t, w.Commit(t.Context(), out))
}

func (w *worker) complete(t testing.TB, events ...omnibox.Event) {
	t.Helper()
	w.settle(t, all(omnibox.Completed, events)...)
}

// all gives events the same verdict.
func all(v omnibox.Verdict, events []omnibox.Event) []omnibox.Outcome {
	out := make([]omnibox.Outcome, len(events))
	for i := range events {
		out[i] = omnibox.Outcome{Event: &events[i], Verdict: v}
	}
	return out
}

// retry is a counted failure with a minute's delay.
func retry(e *omnibox.Event) omnibox.Outcome {
	return omnibox.Outcome{
		Event: e, Verdict: omnibox.Retry, Class: omnibox.ClassTransient, Error: "boom",
		Counted: true, Attempts: e.Attempts + 1, Delay: time.Minute,
	}
}

func dead(e *omnibox.Event) omnibox.Outcome {
	return omnibox.Outcome{
		Event: e, Verdict: omnibox.Dead, Class: omnibox.ClassPermanent, Error: "never",
		Counted: true, Attempts: e.Attempts + 1,
	}
}

func event(key string) omnibox.Event {
	return omnibox.Event{
		Topic: "orders", Key: key, Type: "order.placed", Payload: map[string]int{"n": 1},
		Aggregate: omnibox.Aggregate{Type: "order", ID: uuid.New()},
	}
}

// enqueue writes an event for each key, in one transaction.
func enqueue(t testing.TB, s System, keys ...string) []uuid.UUID {
	t.Helper()
	events := make([]omnibox.Event, len(keys))
	for i, key := range keys {
		events[i] = event(key)
	}
	return write(t, s, events...)
}

func write(t testing.TB, s System, events ...omnibox.Event) []uuid.UUID {
	t.Helper()
	tx := s.Begin(t)
	ids := tx.Enqueue(t, events...)
	tx.Commit(t)
	return ids
}

func row(t testing.TB, s System, id uuid.UUID) Row {
	t.Helper()
	r, ok := s.Row(t, id)
	require.True(t, ok, "row %s is gone", id)
	return r
}

func ids(events []omnibox.Event) []uuid.UUID {
	out := make([]uuid.UUID, len(events))
	for i, e := range events {
		out[i] = e.ID
	}
	return out
}

func key(k string) omnibox.OrderKey { return omnibox.OrderKey{Topic: "orders", Key: k} }

// inOrder requires that the events of each key are in order of seq.
func inOrder(t testing.TB, events []omnibox.Event) {
	t.Helper()
	last := map[omnibox.OrderKey]int64{}
	for _, e := range events {
		before, seen := last[e.OrderKey()]
		require.True(t, !seen || e.Seq > before, "key %s: %d after %d", e.Key, e.Seq, before)
		last[e.OrderKey()] = e.Seq
	}
}
