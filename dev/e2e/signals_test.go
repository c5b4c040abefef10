package e2e

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
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
	b := newBed(t)
	c := b.temporalOfShortRuns(200)
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

// A signal that comes alone, with what ends the run: nothing but its one event tells
// of it.
//
// trap: T11
func TestASignalAloneIsNotLostWhenAPollerContinuesAsNew(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	c := b.temporalOfShortRuns(1)
	queue := "alone"
	first, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, workflows.PollerWorkflow, workflows.PollerState{})
	require.NoError(t, err)
	has := func(what enums.EventType) func() bool {
		return func() bool { return happened(t, c, first.GetID(), first.GetRunID(), what) }
	}

	stop := startPollers(t, c, queue)
	eventually(t, "it fetches", has(enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED))
	stop()
	startActivities(t, c, queue)
	require.NoError(t, c.SignalWorkflow(t.Context(), first.GetID(), "", workflows.SignalPause, workflows.PauseSignal{By: "test"}))
	eventually(t, "the fetch ends", has(enums.EVENT_TYPE_ACTIVITY_TASK_COMPLETED))
	startPollers(t, c, queue)
	eventually(t, "it continues as new", has(enums.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW))

	var state workflows.PollerState
	eventually(t, "the next run answers", func() bool {
		answer, err := c.QueryWorkflow(t.Context(), first.GetID(), "", workflows.QueryStatus)
		return err == nil && answer.Get(&state) == nil
	})
	require.Equal(t, 1, state.Signals)
}

// startPollers runs the workflow of pollers, and none of their activities.
func startPollers(t *testing.T, c client.Client, queue string) (stop func()) {
	t.Helper()
	w := sdkworker.New(c, queue, sdkworker.Options{LocalActivityWorkerOnly: true})
	w.RegisterWorkflowWithOptions(workflows.Poller, workflow.RegisterOptions{Name: workflows.PollerWorkflow})
	require.NoError(t, w.Start())
	stop = sync.OnceFunc(w.Stop)
	t.Cleanup(stop)
	return stop
}

// startActivities runs activities of pollers that find and do nothing.
func startActivities(t *testing.T, c client.Client, queue string) {
	t.Helper()
	w := sdkworker.New(c, queue, sdkworker.Options{DisableWorkflowWorker: true})
	fetch := func(context.Context, activities.FetchIn) (out activities.FetchOut, err error) { return out, nil }
	setPaused := func(context.Context, activities.SetPausedIn) (out activities.SetPausedOut, err error) {
		return out, nil
	}
	w.RegisterActivityWithOptions(fetch, activity.RegisterOptions{Name: "Fetch"})
	w.RegisterActivityWithOptions(setPaused, activity.RegisterOptions{Name: "SetPaused"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}

// temporalOfShortRuns gives the bed a server that wants workflows to continue as new
// after so many history events.
func (b *bed) temporalOfShortRuns(events int) client.Client {
	b.t.Helper()
	dynamic := servers.TemporalLoad()
	dynamic["limit.historyCount.suggestContinueAsNew"] = strconv.Itoa(events)
	server := devtest.StartTemporal(b.t, servers.TemporalOptions{Headless: true, DBFile: "-", DynamicConfig: dynamic})
	b.change = func(cfg *config.Config) { cfg.Temporal.Address = server.Address() }
	return b.temporal()
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
