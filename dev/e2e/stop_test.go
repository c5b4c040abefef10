package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

// A step that takes longer than the grace is given up before it is over: its event is
// free, and was not delivered without an end, in whichever lane it was.
//
// trap: 17
func TestAStopGivesUpWhatTakesLongerThanItsGrace(t *testing.T) {
	t.Parallel()
	for _, lane := range []string{"batch", "workflow"} {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.inLane(lane)
			b.change = func(cfg *config.Config) { cfg.Shutdown.Grace = 4 * time.Second }
			under := make(chan struct{})
			w := b.start(worker.Step(pipelineName, &step{run: func(ctx context.Context, _ *omnibox.Event, _ int) error {
				close(under)
				<-ctx.Done()
				return ctx.Err()
			}})).awaitReady()
			b.enqueue(event("a", 1))
			<-under
			w.stop()
			require.NotContains(t, w.logs.String(), "not all has stopped within shutdown.grace")
			require.Zero(t, ask[int](b, "select count(*) from outbox_events where fetches > 0 or lease_until is not null"))
			require.Zero(t, ask[int](b, "select count(*) from omnibox.slots where lease_until > now()"), "slots are still leased")
			b.untouched()
			b.start().awaitReady()
			b.awaitRecords(1)
		})
	}
}

// A Temporal that does not answer does not keep a worker from ending in its grace,
// with its leases given up.
func TestAStopIsNotLongerThanItsGrace(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	proxy := devtest.StartProxy(t, servers.ProxyOptions{Upstream: devtest.Temporal(t).Address()})
	b.change = func(cfg *config.Config) {
		cfg.Temporal.Address = proxy.Address()
		cfg.Shutdown.Grace = 4 * time.Second // Temporal's SDK waits ten for one of its calls
	}
	w := b.start().awaitReady()
	b.enqueue(event("a", 1))
	b.awaitRecords(1)
	require.NoError(t, proxy.Stall())
	w.stop()
	require.Contains(t, w.logs.String(), "not all has stopped within shutdown.grace")
	require.NotContains(t, w.logs.String(), "Stopped Worker")
	require.Zero(t, ask[int](b, "select count(*) from omnibox.slots where lease_until > now()"), "slots are still leased")

	proxy.Heal(t.Context())
	eventually(t, "the rest ends, too", func() bool { return strings.Contains(w.logs.String(), "Stopped Worker") })
}
