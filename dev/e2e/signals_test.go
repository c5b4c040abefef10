package e2e

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	t.Parallel()
	dynamic := servers.TemporalLoad()
	dynamic["limit.historyCount.suggestContinueAsNew"] = "200"
	server := devtest.StartTemporal(t, servers.TemporalOptions{Headless: true, DBFile: "-", DynamicConfig: dynamic})
	b := newBed(t)
	b.change = func(cfg *config.Config) { cfg.Temporal.Address = server.Address() }
	c := b.temporal()
	b.startRelay(c, quietRows{Store: b.store()}, 100*time.Millisecond)
	firstRun := runOf(t, b)

	const senders, each = 10, 1000
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			for n := range each {
				signal := workflows.SignalPause
				if (sender+n)%2 == 0 {
					signal = workflows.SignalResume
				}
				if err := c.SignalWorkflow(t.Context(), b.poller(0), "", signal, workflows.PauseSignal{By: "test"}); err != nil {
					t.Errorf("signal: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	state := workflows.PollerState{}
	eventually(t, "all signals counted", func() bool {
		answer, err := c.QueryWorkflow(t.Context(), b.poller(0), "", workflows.QueryStatus)
		return err == nil && answer.Get(&state) == nil && state.Signals >= senders*each
	})
	require.Equal(t, senders*each, state.Signals)
	require.NotEqual(t, firstRun, runOf(t, b), "it has not continued as new")
}

func runOf(t *testing.T, b *bed) string {
	t.Helper()
	found, err := b.temporal().DescribeWorkflowExecution(t.Context(), b.poller(0), "")
	require.NoError(t, err)
	return found.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}
