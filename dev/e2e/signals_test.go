package e2e

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

// Signals come faster than the poller continues as new, again and again: each is
// counted, by whichever run got it.
//
// trap: T11
func TestNoSignalIsLostWhenAPollerContinuesAsNew(t *testing.T) {
	if testing.Short() {
		t.Skip("a server of its own and ten thousand signals")
	}
	// not in parallel: it takes all of the machine, and more time beside the others
	// than it may
	dynamic := servers.TemporalLoad()
	dynamic["limit.historyCount.suggestContinueAsNew"] = "200"
	server := devtest.StartTemporal(t, servers.TemporalOptions{Headless: true, DBFile: "-", DynamicConfig: dynamic})
	b := newBed(t)
	b.change = func(cfg *config.Config) { cfg.Temporal.Address = server.Address() }
	c := b.temporal()
	b.startRelay(c, quietRows{Store: b.store()}, 100*time.Millisecond)
	firstRun := runOf(t, c, b.poller(0))

	const bursts, senders, each = 10, 10, 100
	runs := map[string]bool{firstRun: true}
	for burst := 1; burst <= bursts; burst++ {
		sendSignals(t, c, b.poller(0), senders, each)
		var state workflows.PollerState
		eventually(t, "all signals counted", func() bool {
			answer, err := c.QueryWorkflow(t.Context(), b.poller(0), "", workflows.QueryStatus)
			return err == nil && answer.Get(&state) == nil && state.Signals >= burst*senders*each
		})
		require.Equal(t, burst*senders*each, state.Signals)
		runs[runOf(t, c, b.poller(0))] = true // the next burst meets the poller as it continues as new
	}
	t.Logf("%d signals in at least %d runs", bursts*senders*each, len(runs))
	eventually(t, "it has continued as new", func() bool { return runOf(t, c, b.poller(0)) != firstRun })
}

func sendSignals(t *testing.T, c client.Client, poller string, senders, each int) {
	t.Helper()
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			for n := range each {
				signal := workflows.SignalPause
				if (sender+n)%2 == 0 {
					signal = workflows.SignalResume
				}
				if err := c.SignalWorkflow(t.Context(), poller, "", signal, workflows.PauseSignal{By: "test"}); err != nil {
					t.Errorf("signal: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func runOf(t *testing.T, c client.Client, id string) string {
	t.Helper()
	found, err := c.DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err)
	return found.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}
