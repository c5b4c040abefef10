package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

func escalating() []Test {
	return []Test{
		{Name: "of failed events as many as may be get a workflow, the others back off in their rows", Run: escalated},
		{Name: "a failed event with a workflow leaves the claim that had it", Run: escalatedLeaves},
		{Name: "a workflow whose event fails again keeps its token and its place", Run: failsAgain},
		{Name: "of dead events as many as may be wait for a person in a workflow", Run: parked},
		{Name: "with follow what waits behind a dead event dies with it, and nothing else", Run: follows},
		{Name: "with follow what waits behind an event that dies in its workflow dies with it", Run: followsInWorkflow},
		{Name: "a replay by a workflow leases the event to it, and a second one is refused", Run: laneReplays},
		{Name: "a discard by a workflow leaves the event dead, and a second one is refused", Run: laneDiscards},
	}
}

func retries(events []omnibox.Event) []omnibox.Outcome {
	out := make([]omnibox.Outcome, len(events))
	for i := range events {
		out[i] = retry(&events[i])
	}
	return out
}

// given are the events of outcomes that got a workflow.
func given(out []omnibox.Outcome) []*omnibox.Event {
	var events []*omnibox.Event
	for _, o := range out {
		if o.Event.Escalated {
			events = append(events, o.Event)
		}
	}
	return events
}

func escalated(t testing.TB, s System) {
	enqueue(t, s, "a", "b", "c", "d", "e", "f")
	cfg := config("w1")
	cfg.Escalation = store.Escalation{Most: 2}
	w, lane := open(t, s, cfg, unlimited())
	events := w.rest(t)
	out := retries(events)
	w.settle(t, out[:1]...)
	w.settle(t, out[1:4]...)
	require.Equal(t, pointers(events[:2]), given(out))
	for _, e := range events[:2] {
		got := row(t, s, e.ID)
		require.WithinDuration(t, got.ScheduledAt.Add(2*time.Minute), got.LeaseUntil, 10*time.Second)
		require.Equal(t, 1, got.Attempts)
	}
	for _, e := range events[2:4] {
		got := row(t, s, e.ID)
		require.Equal(t, 1, got.Attempts)
		require.True(t, got.ScheduledAt.After(time.Now().Add(30*time.Second)))
		require.Zero(t, got.LeaseUntil)
	}
	e := beginOne(t, lane, &events[0])
	require.Equal(t, 1, e.Attempts)
	require.NoError(t, lane.Commit(t.Context(), []omnibox.Outcome{{Event: e, Verdict: omnibox.Completed}}))
	w.settle(t, out[4:]...)
	require.Len(t, given(out[4:]), 1, "there is room for one")
	require.NoError(t, w.Release(t.Context()))

	s.Elapse(t, 90*time.Second) // when they are due
	w.claim(t)
	got := w.rest(t)
	require.Len(t, got, 3, "not those that have a workflow")
	for _, e := range got {
		require.False(t, e.Suspect)
		require.Zero(t, e.Fetches)
	}
}

func escalatedLeaves(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a", "b")
	cfg := config("w1")
	cfg.Escalation = store.Escalation{Most: 10}
	w, lane := open(t, s, cfg, unlimited())
	events := w.rest(t)
	w.settle(t, retry(&events[0]))
	require.NoError(t, w.Extend(t.Context()))
	w.settle(t, all(omnibox.Released, events[1:])...)
	require.Equal(t, written[2:], ids(w.again(t)))
	require.NoError(t, w.Release(t.Context()))
	beginOne(t, lane, &events[0])
}

func failsAgain(t testing.TB, s System) {
	id := enqueue(t, s, "a", "b")[0]
	cfg := config("w1")
	cfg.Escalation = store.Escalation{Most: 1}
	w, lane := open(t, s, cfg, unlimited())
	events := w.rest(t)
	w.settle(t, retry(&events[0]))
	require.True(t, events[0].Escalated)
	token := events[0].Fence.Token
	for attempts := 2; attempts <= 4; attempts++ {
		e := beginOne(t, lane, &events[0])
		out := retry(e)
		require.NoError(t, lane.Commit(t.Context(), []omnibox.Outcome{out}))
		require.True(t, e.Escalated)
		require.Equal(t, token, e.Fence.Token)
		got := row(t, s, id)
		require.Equal(t, attempts, got.Attempts)
		require.Zero(t, got.Fetches)
		require.WithinDuration(t, got.ScheduledAt.Add(2*time.Minute), got.LeaseUntil, 10*time.Second)
	}
	w.settle(t, retry(&events[1]))
	require.False(t, events[1].Escalated)
}

func parked(t testing.TB, s System) {
	enqueue(t, s, "a", "b", "c", "d")
	cfg := config("w1")
	cfg.Escalation = store.Escalation{Parked: 2, ParkFor: time.Hour}
	w, lane := open(t, s, cfg, unlimited())
	events := w.rest(t)
	w.settle(t, dead(&events[0]))
	w.settle(t, dead(&events[1]), dead(&events[2]))
	require.True(t, events[0].Escalated)
	require.True(t, events[1].Escalated)
	require.False(t, events[2].Escalated)
	require.Len(t, s.DeadLetters(t), 3)
	require.NoError(t, lane.Discard(t.Context(), events[0].Ref(), "anna", ""))
	w.settle(t, dead(&events[3]))
	require.True(t, events[3].Escalated, "there is room again")
	require.NoError(t, w.Release(t.Context()))

	s.Elapse(t, 2*time.Hour)
	enqueue(t, s, "e")
	w.claim(t)
	events = w.rest(t)
	w.settle(t, dead(&events[0]))
	require.True(t, events[0].Escalated, "nobody waits any more")
}

func follows(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a", "a", "b", "b")
	cfg := config("w1")
	cfg.BehindFailure = "follow"
	w := hire(t, s, cfg)
	events := w.rest(t)
	first := slices.IndexFunc(events, func(e omnibox.Event) bool { return e.ID == written[0] })
	w.settle(t, retry(&events[first]))
	w.settle(t, all(omnibox.Released, slices.Delete(slices.Clone(events), first, first+1))...)
	require.Equal(t, written[3:], ids(w.again(t)))
	s.Elapse(t, 2*time.Minute)
	events = w.again(t)
	late := enqueue(t, s, append([]string{"a", "b"}, crowd(300)...)...) // not marked as held yet
	first = slices.IndexFunc(events, func(e omnibox.Event) bool { return e.ID == written[0] })
	w.settle(t, dead(&events[first]))
	letters := s.DeadLetters(t)
	require.Len(t, letters, 4)
	require.Equal(t, omnibox.ClassPermanent, letters[0].Class)
	for _, id := range []int{1, 2} {
		got := row(t, s, written[id])
		require.Equal(t, omnibox.StatusFailed, got.Status)
		require.Equal(t, omnibox.Class("followed"), got.Class)
		require.Equal(t, got.MaxAttempts, got.Attempts)
	}
	require.Equal(t, omnibox.StatusFailed, row(t, s, late[0]).Status)
	for _, d := range letters[1:] {
		require.Equal(t, omnibox.Class("followed"), d.Class)
		require.Contains(t, d.Error, written[0].String())
		require.Zero(t, d.Attempts)
		require.True(t, d.Open)
	}
	others := []omnibox.Status{row(t, s, written[3]).Status, row(t, s, written[4]).Status, row(t, s, late[1]).Status}
	require.Equal(t, slices.Repeat([]omnibox.Status{omnibox.StatusPending}, 3), others)
	next := enqueue(t, s, "a")
	require.Contains(t, ids(w.again(t)), next[0], "the key is free")
}

// crowd is so many keys that some share a slot with any other.
func crowd(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint("crowd-", i)
	}
	return keys
}

func followsInWorkflow(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a", "b")
	cfg := config("w1")
	cfg.BehindFailure, cfg.Escalation = "follow", store.Escalation{Most: 10}
	w, lane := open(t, s, cfg, unlimited())
	e := beginOne(t, lane, assignDue(t, w, lane))
	require.Equal(t, written[0], e.ID)
	require.NoError(t, lane.Commit(t.Context(), []omnibox.Outcome{dead(e)}))
	require.Equal(t, omnibox.Class("followed"), row(t, s, written[1]).Class)
	require.Len(t, s.DeadLetters(t), 2)
	require.Equal(t, written[2:], ids(w.again(t)))
}

// trap: 15
func laneReplays(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a")
	cfg := config("w1")
	cfg.Escalation = store.Escalation{Parked: 1, ParkFor: time.Hour}
	w, lane := open(t, s, cfg, unlimited())
	stale := assignDue(t, w, lane)
	e := beginOne(t, lane, stale)
	require.NoError(t, lane.Commit(t.Context(), []omnibox.Outcome{dead(e)}))
	require.True(t, e.Escalated)
	fence, err := lane.Replay(t.Context(), e.Ref(), "anna")
	require.NoError(t, err)
	_, err = lane.Replay(t.Context(), e.Ref(), "bob")
	require.ErrorIs(t, err, store.ErrNotDead)
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err))
	require.Empty(t, w.again(t), "it is the workflow's, and what is behind waits")
	got := row(t, s, written[0])
	require.Equal(t, omnibox.StatusPending, got.Status)
	require.Zero(t, got.Attempts)
	require.WithinDuration(t, time.Now().Add(2*time.Minute), got.LeaseUntil, 20*time.Second)
	require.ErrorIs(t, lane.Commit(t.Context(), []omnibox.Outcome{dead(e)}), omnibox.ErrLeaseLost, "what was stale before")
	again, _, err := lane.Begin(t.Context(), e.Ref(), fence)
	require.NoError(t, err)
	require.Equal(t, 1, again.Replays)
	require.NoError(t, lane.Commit(t.Context(), []omnibox.Outcome{{Event: again, Verdict: omnibox.Completed}}))
	require.Equal(t, written[1:], ids(w.again(t)))
	require.False(t, s.DeadLetters(t)[0].Open)
}

func laneDiscards(t testing.TB, s System) {
	written := enqueue(t, s, "a", "b")
	w, lane := open(t, s, config("w1"), unlimited())
	events := w.rest(t)
	w.settle(t, dead(&events[0]))
	require.NoError(t, lane.Discard(t.Context(), events[0].Ref(), "anna", "known"))
	require.ErrorIs(t, lane.Discard(t.Context(), events[0].Ref(), "bob", ""), store.ErrNotDead)
	require.ErrorIs(t, lane.Discard(t.Context(), events[1].Ref(), "bob", ""), store.ErrNotDead, "it is not dead")
	require.Equal(t, omnibox.StatusFailed, row(t, s, written[0]).Status)
	require.False(t, s.DeadLetters(t)[0].Open)
}
