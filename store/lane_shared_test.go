package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// Another pipeline's row is no reason to fetch nothing for workflows.
func TestSuspectsAreThePipelinesOwn(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	open := func(pipeline, eventType string) *store.Store {
		return b.open(t, store.Config{Pipeline: pipeline, Claim: store.ClaimRow, Lease: time.Minute, Filter: store.Filter{Types: []string{eventType}}})
	}
	one, two := open("one", "order.placed"), open("two", "order.paid")
	b.enqueue(t, "a")
	fetch(t, claim(t, one), 10) // and its owner dies
	b.exec(t, "update outbox_events set lease_until = now() - interval '1 second'")
	for s, want := range map[*store.Store]bool{one: true, two: false} {
		found, err := s.Lane(store.LaneConfig{Budget: -1, InFlight: 10}).Suspects(t.Context(), allSlots())
		require.NoError(t, err)
		require.Equal(t, want, found)
	}
}

// Each pipeline may park as many dead events as it is configured for.
func TestParkedEventsAreCountedByPipeline(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for _, pipeline := range []string{"one", "two"} {
		s := b.open(t, store.Config{
			Pipeline: pipeline, Claim: store.ClaimRow, Lease: time.Minute, Escalation: store.Escalation{Most: 1, Parked: 1, ParkFor: time.Hour},
		})
		b.enqueue(t, pipeline)
		events := fetchAll(t, claim(t, s), 10)
		require.Len(t, events, 1)
		require.NoError(t, s.Commit(t.Context(), died(&events[0])))
		require.True(t, events[0].Escalated)
	}
}

// Behind an event that was put back nothing has waited: when it dies again, what a
// drain has in hand of its key is delivered.
func TestFollowSparesWhatWasWrittenSince(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	s := b.open(t, store.Config{Lease: time.Minute, BehindFailure: "follow", Escalation: store.Escalation{Most: 9, Parked: 9, ParkFor: time.Hour}})
	lane := s.Lane(store.LaneConfig{Budget: -1, InFlight: 10})
	b.enqueue(t, "a")
	c := claim(t, s)
	first := fetchAll(t, c, 10)
	require.NoError(t, s.Commit(t.Context(), died(&first[0])))
	b.enqueue(t, "a")
	c.Rewind()
	second := fetchAll(t, c, 10)
	require.Len(t, second, 1)
	fence, err := lane.Replay(t.Context(), first[0].Ref(), "ops")
	require.NoError(t, err)
	e, _, err := lane.Begin(t.Context(), first[0].Ref(), fence)
	require.NoError(t, err)
	require.NoError(t, lane.Commit(t.Context(), died(e)))
	require.NoError(t, s.Commit(t.Context(), completed(second...)))
	require.Equal(t, "completed", one[string](t, b, "select status from outbox_events where id = $1", [16]byte(second[0].ID)))
}

// A failed event whose workflow could not be started goes on without one.
func TestForgoingAWorkflowLeavesTheRowToTheBatchLane(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	s := b.open(t, store.Config{Lease: time.Minute, Escalation: store.Escalation{Most: 9, Parked: 9, ParkFor: time.Hour}})
	lane := s.Lane(store.LaneConfig{Budget: -1, InFlight: 10})
	b.enqueue(t, "retried", "dead")
	events := fetchAll(t, claim(t, s), 10)
	outcomes := []omnibox.Outcome{
		{Event: &events[0], Verdict: omnibox.Retry, Class: omnibox.ClassTransient, Error: "boom", Counted: true, Attempts: 1, Delay: time.Minute},
		died(&events[1])[0],
	}
	require.NoError(t, s.Commit(t.Context(), outcomes))
	for _, o := range outcomes {
		require.True(t, o.Event.Escalated)
		require.NoError(t, lane.Forgo(t.Context(), o))
	}
	require.Equal(t, 1, one[int](t, b, "select attempts_made from outbox_events where lease_until is null and locked_by is null and status = 'pending'"))
	require.Zero(t, one[int](t, b, "select count(*) from omnibox.dead_letters where parked_until is not null"))
}

func died(e *omnibox.Event) []omnibox.Outcome {
	return []omnibox.Outcome{{Event: e, Verdict: omnibox.Dead, Class: omnibox.ClassPermanent, Error: "never", Counted: true, Attempts: 1}}
}
