package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

func assigning() []Test {
	return []Test{
		{Name: "an event assigned to a workflow is passed over, and so is what is behind it in its key", Run: assignedIsPassedOver},
		{Name: "a budget of workflows that does not cover all assigns none, and fills up again", Run: budget},
		{Name: "no more events are assigned than may be in flight", Run: inFlight},
		{Name: "an assign under a stale fence is refused", Run: staleAssign},
		{Name: "an event under suspicion is not assigned", Run: suspectIsNotAssigned},
		{Name: "suspects are told of slots that were not left in order", Run: dirtySlotIsTold, Slots: true},
		{Name: "suspects are told of rows whose own lease has run out", Run: lapsedRowIsTold},
	}
}

func working() []Test {
	return []Test{
		{Name: "a workflow's begin counts a delivery and makes the lease last", Run: beginCounts},
		{Name: "a workflow's begin is refused under a stale fence and when the lease has run out", Run: beginIsRefused},
		{Name: "a workflow's begin is refused while the pipeline or the key is paused", Run: beginWhilePaused},
		{Name: "a workflow's extend makes the lease last, unless it is another's", Run: laneExtends},
		{Name: "a workflow whose lease has run out loses its event to the next delivery", Run: lapsedIsTaken},
		{Name: "an event given back comes with its count and under suspicion", Run: givenBack},
		{Name: "the commit of a workflow ends the hold of its event", Run: laneEndsHold},
		{Name: "the commit of a workflow may be repeated, and writes what is not stale", Run: laneRepeats},
	}
}

// unlimited assigns whatever it is given.
func unlimited() store.LaneConfig { return store.LaneConfig{Budget: -1, InFlight: 1000} }

// open opens a lane, with the store that it passes events on from.
func open(t testing.TB, s System, cfg store.Config, limits store.LaneConfig) (*worker, Lane) {
	t.Helper()
	w := hire(t, s, cfg)
	return w, s.Lane(t, w.Store, limits)
}

func pointers(events []omnibox.Event) []*omnibox.Event {
	out := make([]*omnibox.Event, len(events))
	for i := range events {
		out[i] = &events[i]
	}
	return out
}

// assign passes events to workflows, all of them.
func assign(t testing.TB, lane Lane, events ...omnibox.Event) []*omnibox.Event {
	t.Helper()
	assigned, err := lane.Assign(t.Context(), pointers(events))
	require.NoError(t, err)
	require.Len(t, assigned, len(events))
	return assigned
}

// assignDue fetches what is due and passes the first of it to a workflow.
func assignDue(t testing.TB, w *worker, lane Lane) *omnibox.Event {
	t.Helper()
	events := w.again(t)
	require.NotEmpty(t, events)
	e := assign(t, lane, events[0])[0]
	w.settle(t, all(omnibox.Released, events[1:])...)
	return e
}

func beginOne(t testing.TB, lane Lane, e *omnibox.Event) *omnibox.Event {
	t.Helper()
	begun, _, err := lane.Begin(t.Context(), e.Ref(), e.Fence)
	require.NoError(t, err)
	return begun
}

func assignedIsPassedOver(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a", "b")
	w, lane := open(t, s, config("w1"), unlimited())
	events := w.rest(t)
	e := assign(t, lane, events[0])[0]
	w.settle(t, all(omnibox.Released, events[1:])...)
	require.Equal(t, written[2:], ids(w.again(t)))
	require.NoError(t, w.Release(t.Context()))
	other := hire(t, s, config("w2"))
	got := other.rest(t)
	require.Equal(t, written[2:], ids(got), "also by others, once the claim is given up")
	require.False(t, got[0].Suspect)
	other.complete(t, got...)
	begun := beginOne(t, lane, e)
	require.Equal(t, written[0], begun.ID)
	require.Equal(t, events[0].Payload, begun.Payload)
	require.NoError(t, lane.Commit(t.Context(), all(omnibox.Completed, []omnibox.Event{*begun})))
	require.Equal(t, omnibox.StatusCompleted, row(t, s, written[0]).Status)
	require.Equal(t, written[1:2], ids(other.again(t)))
}

func budget(t testing.TB, s System) {
	enqueue(t, s, "a", "b", "c", "d")
	limits := unlimited()
	limits.Budget, limits.Burst = 2, 10
	w, lane := open(t, s, config("w1"), limits)
	events := w.rest(t)
	none, err := lane.Assign(t.Context(), pointers(events[:3]))
	require.NoError(t, err)
	require.Empty(t, none, "the bucket holds no more than a minute fills")
	assign(t, lane, events[:2]...)
	none, err = lane.Assign(t.Context(), pointers(events[2:3]))
	require.NoError(t, err)
	require.Empty(t, none)
	require.NoError(t, w.Release(t.Context()))
	s.Elapse(t, 45*time.Second)
	w.claim(t)
	events = w.rest(t)
	require.Len(t, events, 2)
	none, err = lane.Assign(t.Context(), pointers(events))
	require.NoError(t, err)
	require.Empty(t, none, "one and a half")
	assign(t, lane, events[0])
}

func inFlight(t testing.TB, s System) {
	enqueue(t, s, "a", "b", "c", "d")
	limits := unlimited()
	limits.InFlight = 2
	cfg := config("w1")
	cfg.Escalation = store.Escalation{Most: 10}
	w, lane := open(t, s, cfg, limits)
	events := w.rest(t)
	assigned, err := lane.Assign(t.Context(), pointers(events))
	require.NoError(t, err)
	require.Equal(t, []*omnibox.Event{&events[0], &events[1]}, assigned, "the first")
	none, err := lane.Assign(t.Context(), pointers(events[2:]))
	require.NoError(t, err)
	require.Empty(t, none)
	require.NoError(t, lane.Commit(t.Context(), []omnibox.Outcome{{Event: assigned[0], Verdict: omnibox.Completed}}))
	assign(t, lane, events[2])
	failed := beginOne(t, lane, assigned[1])
	require.NoError(t, lane.Commit(t.Context(), []omnibox.Outcome{retry(failed)}))
	assign(t, lane, events[3]) // one that failed is not counted
}

func staleAssign(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w, lane := open(t, s, config("w1"), unlimited())
	stale := w.rest(t)
	s.Expire(t)
	next := hire(t, s, config("w2"))
	events := next.rest(t)
	_, err := lane.Assign(t.Context(), pointers(stale))
	require.ErrorIs(t, err, omnibox.ErrLeaseLost)
	next.complete(t, events...)
	require.Equal(t, omnibox.StatusCompleted, row(t, s, id).Status)
	none, err := lane.Assign(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

// trap: 12
func suspectIsNotAssigned(t testing.TB, s System) {
	enqueue(t, s, "a", "b")
	w, lane := open(t, s, config("w1"), unlimited())
	events := w.rest(t)
	require.NoError(t, w.Mark(t.Context(), pointers(events[:1])))
	assigned, err := lane.Assign(t.Context(), pointers(events))
	require.NoError(t, err)
	require.Equal(t, pointers(events[1:]), assigned)
	w.complete(t, events[0])
}

func dirtySlotIsTold(t testing.TB, s System) {
	w, lane := open(t, s, config("w1"), unlimited())
	told := func(slots ...int) bool {
		found, err := lane.Suspects(t.Context(), slots)
		require.NoError(t, err)
		return found
	}
	require.False(t, told(slots()...), "whoever has them may still finish")
	require.NoError(t, w.Release(t.Context()))
	require.False(t, told(slots()...))
	_, err := s.Open(t, config("w2")).Claim(t.Context(), []int{3})
	require.NoError(t, err)
	s.Expire(t)
	require.True(t, told(slots()...))
	require.True(t, told(3))
	require.False(t, told(2, 4))
}

func lapsedRowIsTold(t testing.TB, s System) {
	enqueue(t, s, "a")
	w, lane := open(t, s, config("w1"), unlimited())
	e := assignDue(t, w, lane)
	require.NoError(t, w.Release(t.Context()))
	for _, lapsed := range []bool{false, true} {
		if lapsed {
			s.Expire(t)
		}
		found, err := lane.Suspects(t.Context(), []int{e.Fence.Slot})
		require.NoError(t, err)
		require.Equal(t, lapsed, found)
		found, err = lane.Suspects(t.Context(), []int{(e.Fence.Slot + 1) % omnibox.Slots})
		require.NoError(t, err)
		require.False(t, found)
	}
}

func beginCounts(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w, lane := open(t, s, config("w1"), unlimited())
	e := assignDue(t, w, lane)
	longer := config("w9")
	longer.Lease = time.Hour
	lane = s.Lane(t, s.Open(t, longer), unlimited())
	for n := 1; n <= 2; n++ {
		begun, deadline, err := lane.Begin(t.Context(), e.Ref(), e.Fence)
		require.NoError(t, err)
		require.Equal(t, n, begun.Fetches)
		require.Equal(t, e.Fence, begun.Fence)
		got := row(t, s, id)
		require.Equal(t, n, got.Fetches)
		require.Zero(t, got.Attempts)
		require.WithinDuration(t, time.Now().Add(time.Hour), got.LeaseUntil, 5*time.Minute)
		require.True(t, deadline.Before(got.LeaseUntil), "it stops before others may begin")
		require.True(t, deadline.After(time.Now().Add(30*time.Minute)))
	}
}

// trap: 9
// trap: 10
func beginWhilePaused(t testing.TB, s System) {
	enqueue(t, s, "a")
	w, lane := open(t, s, config("w1"), unlimited())
	assigned, err := lane.Assign(t.Context(), pointers(w.rest(t)))
	require.NoError(t, err)
	require.Len(t, assigned, 1)
	e := assigned[0]
	begin := func() error {
		_, _, err := lane.Begin(t.Context(), e.Ref(), e.Fence)
		return err
	}
	s.Pause(t, true)
	require.ErrorIs(t, begin(), omnibox.ErrPaused)
	s.Pause(t, false)
	s.HoldKey(t, key("a"))
	require.ErrorIs(t, begin(), omnibox.ErrPaused)
	s.FreeKey(t, key("a"))
	require.NoError(t, begin())
}

func beginIsRefused(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w, lane := open(t, s, config("w1"), unlimited())
	e := assignDue(t, w, lane)
	stale := e.Fence
	stale.Token--
	begin := func(fence omnibox.Fence) error {
		_, _, err := lane.Begin(t.Context(), e.Ref(), fence)
		return err
	}
	require.ErrorIs(t, begin(stale), omnibox.ErrLeaseLost)
	require.Zero(t, row(t, s, id).Fetches)
	require.NoError(t, begin(e.Fence))
	s.Expire(t)
	require.ErrorIs(t, begin(e.Fence), omnibox.ErrLeaseLost)
	require.Equal(t, 1, row(t, s, id).Fetches)
}

func laneExtends(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w, lane := open(t, s, config("w1"), unlimited())
	e := assignDue(t, w, lane)
	longer := config("w9")
	longer.Lease = time.Hour
	lane = s.Lane(t, s.Open(t, longer), unlimited())
	deadline, err := lane.Extend(t.Context(), e)
	require.NoError(t, err)
	got := row(t, s, id)
	require.Zero(t, got.Fetches, "no delivery begins")
	require.WithinDuration(t, time.Now().Add(time.Hour), got.LeaseUntil, 5*time.Minute)
	require.True(t, deadline.Before(got.LeaseUntil))
	stale := *e
	stale.Fence.Token--
	_, err = lane.Extend(t.Context(), &stale)
	require.ErrorIs(t, err, omnibox.ErrLeaseLost)
	require.NoError(t, lane.Commit(t.Context(), []omnibox.Outcome{{Event: e, Verdict: omnibox.Completed}}))
	_, err = lane.Extend(t.Context(), e)
	require.ErrorIs(t, err, omnibox.ErrLeaseLost)
}

// trap: 9
// trap: 11
// trap: 12
func lapsedIsTaken(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w, lane := open(t, s, config("w1"), unlimited())
	e := beginOne(t, lane, assignDue(t, w, lane))
	require.Empty(t, w.again(t))
	s.Expire(t)
	next := hire(t, s, config("w2"))
	events := next.rest(t)
	require.Equal(t, []uuid.UUID{id}, ids(events))
	require.True(t, events[0].Suspect)
	require.Equal(t, 1, events[0].Fetches)
	require.NoError(t, next.Mark(t.Context(), pointers(events)))
	require.Equal(t, 2, events[0].Fetches)
	for _, out := range []omnibox.Outcome{{Event: e, Verdict: omnibox.Completed}, {Event: e, Verdict: omnibox.Released}, retry(e), dead(e)} {
		require.ErrorIs(t, lane.Commit(t.Context(), []omnibox.Outcome{out}), omnibox.ErrLeaseLost, "%s", out.Verdict)
	}
	_, err := lane.Extend(t.Context(), e)
	require.ErrorIs(t, err, omnibox.ErrLeaseLost)
	_, _, err = lane.Begin(t.Context(), e.Ref(), e.Fence)
	require.ErrorIs(t, err, omnibox.ErrLeaseLost)
	require.NoError(t, lane.GiveBack(t.Context(), e.Ref(), e.Fence), "it has nothing to give")
	got := row(t, s, id)
	require.Equal(t, omnibox.StatusPending, got.Status)
	require.Zero(t, got.Attempts)
	require.Equal(t, 2, got.Fetches)
	require.Empty(t, s.DeadLetters(t))
	next.complete(t, events...)
	require.Equal(t, omnibox.StatusCompleted, row(t, s, id).Status)
}

func givenBack(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w, lane := open(t, s, config("w1"), unlimited())
	e := beginOne(t, lane, assignDue(t, w, lane))
	stale := e.Fence
	stale.Token--
	require.NoError(t, lane.GiveBack(t.Context(), e.Ref(), stale))
	require.Empty(t, w.again(t), "a stale fence changes nothing")
	require.NoError(t, lane.GiveBack(t.Context(), e.Ref(), e.Fence))
	events := w.again(t)
	require.Equal(t, []uuid.UUID{id}, ids(events))
	require.Equal(t, 1, events[0].Fetches)
	require.True(t, events[0].Suspect)
	require.ErrorIs(t, lane.Commit(t.Context(), []omnibox.Outcome{retry(e)}), omnibox.ErrLeaseLost)
	w.complete(t, events...)
}

func laneEndsHold(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a", "a")
	cfg := config("w1")
	cfg.Escalation = store.Escalation{Most: 10}
	w, lane := open(t, s, cfg, unlimited())
	events := w.rest(t)
	w.settle(t, append(all(omnibox.Released, events[1:]), retry(&events[0]))...)
	require.Empty(t, w.again(t))
	e := beginOne(t, lane, &events[0])
	require.True(t, e.HoldsKey)
	require.NoError(t, lane.Commit(t.Context(), []omnibox.Outcome{{Event: e, Verdict: omnibox.Completed}}))
	events = w.again(t)
	require.Equal(t, written[1:], ids(events))
	for _, e := range events {
		require.False(t, e.HoldsKey)
	}
}

// trap: 18
func laneRepeats(t testing.TB, s System) {
	enqueue(t, s, "a", "b", "c", "d")
	cfg := config("w1")
	cfg.Escalation = store.Escalation{Most: 10, Parked: 10, ParkFor: time.Hour}
	w, lane := open(t, s, cfg, unlimited())
	events := w.rest(t)
	assign(t, lane, events...)
	stale := events[3]
	stale.Fence.Token--
	out := []omnibox.Outcome{{Event: &events[0], Verdict: omnibox.Completed}, retry(&events[1]), dead(&events[2]), {Event: &stale, Verdict: omnibox.Completed}}
	for range 2 {
		require.ErrorIs(t, lane.Commit(t.Context(), out), omnibox.ErrLeaseLost)
	}
	for range 2 {
		require.NoError(t, lane.Commit(t.Context(), out[:3]), "what is settled is not lost")
	}
	again := events[2] // as who begins anew knows it
	again.Escalated = false
	require.NoError(t, lane.Commit(t.Context(), []omnibox.Outcome{dead(&again)}))
	require.True(t, again.Escalated, "it is parked still")
	require.Equal(t, omnibox.StatusCompleted, row(t, s, events[0].ID).Status)
	require.Equal(t, 1, row(t, s, events[1].ID).Attempts)
	require.Len(t, s.DeadLetters(t), 1)
	require.Equal(t, omnibox.StatusPending, row(t, s, stale.ID).Status)
}
