package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/worker/config"
)

// While Temporal is away the worker relays by itself, where it may; when Temporal is
// back nothing comes twice, out of order, or in a burst of workflows.
//
// trap: T9
func TestTemporalDownIsWorkedAround(t *testing.T) {
	t.Parallel()
	const budget, threshold = 6, 4
	b := newBed(t).listening()
	b.outbox(func(o *config.Outbox) {
		o.TemporalDown, o.Lease = "direct", 5*time.Second
		o.WorkflowBudget, o.CalmThreshold = budget, threshold
	})
	proxy := devtest.StartProxy(t, servers.ProxyOptions{Upstream: devtest.Temporal(t).Address()})
	cfg := b.config()
	cfg.Temporal.Address = proxy.Address()
	w := b.startWith(cfg).awaitReady()
	write := func(from, to int) {
		for n := from; n <= to; n++ {
			var events []omnibox.Event
			for key := range 10 {
				events = append(events, event(fmt.Sprintf("k%d", key), n))
			}
			b.enqueue(events...)
		}
	}
	write(1, 10)
	b.awaitRecords(100)
	proxy.Cut()
	eventually(t, "on its own", func() bool { _, ready := w.readyz(); return ready.Phase == "relaying without Temporal" })
	write(11, 110)
	b.awaitRecords(1100)
	require.NoError(t, proxy.Restore())
	eventually(t, "Temporal's again", func() bool { _, ready := w.readyz(); return ready.Phase == "running" })
	before := b.started()
	write(111, 120)
	records := b.awaitRecords(1200)
	b.awaitSettled()
	b.untouched()
	for key := range 10 {
		k := fmt.Sprintf("k%d", key)
		require.Equal(t, series(k, 1, 120), firsts(only(k, records)))
	}
	require.LessOrEqual(t, b.started()-before, budget+threshold)
}

// startWithoutTemporal starts a worker that may relay by itself, and has to.
func (b *bed) startWithoutTemporal() *running {
	b.t.Helper()
	b.outbox(func(o *config.Outbox) { o.TemporalDown = "direct" })
	cfg := b.config()
	cfg.Temporal.Address = freeAddress(b.t)
	return b.startWith(cfg).awaitReady()
}

// A worker that finds no Temporal at its start relays too.
func TestAWorkerStartsWithoutTemporal(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.startWithoutTemporal()
	b.enqueue(event("a", 1), event("a", 2))
	require.Equal(t, series("a", 1, 2), b.awaitRecords(2))
}

// What all workers must agree on may be changed while a worker relays by itself: it
// stops, as it does under Temporal.
func TestAWorkerOnItsOwnHeedsChangedSettings(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	w := b.startWithoutTemporal()
	b.enqueue(event("a", 1))
	b.awaitRecords(1)
	s := b.store()
	settings := s.Settings()
	settings.Ordering = "none"
	_, err := s.ApplySettings(t.Context(), settings)
	require.NoError(t, err)
	eventually(t, "it stops", func() bool { return strings.Contains(w.logs.String(), "no longer relaying without Temporal") })
	b.enqueue(event("a", 2))
	b.nothingComes(1)
}
