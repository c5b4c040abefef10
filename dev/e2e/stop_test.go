package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/worker/config"
)

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
