package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/worker/config"
)

// The broker is down for longer than all attempts of an event would take: nothing
// is counted, nothing is dead, and all drains by itself in order.
//
// trap: 7, 13, 14
func TestAnOutageOfTheBrokerLeavesAttemptsAlone(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.outbox(func(o *config.Outbox) { o.Retry = config.Retry{}; o.Lease = 5 * time.Second })
	b.broker.SetDown(true)
	w := b.start().awaitReady()
	var events []omnibox.Event
	for n := 1; n <= 20; n++ {
		for _, key := range []string{"a", "b", "c"} {
			e := event(key, n)
			e.MaxAttempts = 1
			events = append(events, e)
		}
	}
	b.enqueue(events...)
	eventually(t, "several probes", func() bool { return strings.Count(w.logs.String(), "destination still unreachable") >= 3 })
	b.untouched()
	b.broker.SetDown(false)
	records := b.awaitRecords(60)
	for _, key := range []string{"a", "b", "c"} {
		require.Equal(t, series(key, 1, 20), firsts(only(key, records)))
	}
	b.awaitSettled()
	b.untouched()
	require.Contains(t, w.logs.String(), "destination reachable again")
}

// A worker is stopped at random points of its work: it counts nothing, and what it
// had is free at once.
//
// trap: 17
func TestStoppingAtAnyPointLeavesEverythingFree(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.broker.SetDelay(30 * time.Millisecond)
	// a healthy event that has a workflow is its workflow's, whoever stops
	b.outbox(func(o *config.Outbox) { o.Batch, o.WorkflowBudget = 10, 0 })
	slow := &step{run: func(ctx context.Context, _ *omnibox.Event, _ int) error {
		select {
		case <-time.After(time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	const keys, each = 10, 80
	for n := 1; n <= each; n++ {
		var events []omnibox.Event
		for k := range keys {
			events = append(events, event(fmt.Sprintf("k%d", k), n))
		}
		b.enqueue(events...)
	}
	for range 6 {
		w := b.start(withStep(slow)).awaitReady()
		moment := time.NewTimer(rand.N(400 * time.Millisecond))
		<-moment.C
		w.stop()
		require.Zero(t, ask[int](b, "select count(*) from omnibox.slots where lease_until > now()"), "slots are still leased")
		require.Zero(t, ask[int](b, "select count(*) from omnibox.slots where dirty"), "slots were left in disorder")
		require.Zero(t, ask[int](b, "select count(*) from outbox_events where lease_until is not null"), "rows are still leased")
		require.Zero(t, ask[int](b, "select count(*) from omnibox.holds"), "keys are held")
		b.untouched()
	}
	b.start(withStep(slow))
	b.awaitSettled()
	records := b.records()
	for k := range keys {
		key := fmt.Sprintf("k%d", k)
		require.Equal(t, series(key, 1, each), firsts(only(key, records)))
	}
	require.Len(t, records, keys*each, "a worker that stops in order repeats nothing")
	b.untouched()
}
