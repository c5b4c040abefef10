package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

func (b *bed) inLane(lane string) {
	b.outbox(func(o *config.Outbox) { o.Lane, o.Retry.Base = lane, 100*time.Millisecond })
}

// eventID is the workflow id of the event with n in its payload.
func (b *bed) eventID(key string, n int) string {
	b.t.Helper()
	id := ask[uuid.UUID](b, "select id from outbox_events where partition_key = $1 and payload->>'n' = $2", key, fmt.Sprint(n))
	return workflows.EventID(b.prefix, pipelineName, id.String())
}

// happened tells whether there is a history event of a type.
func happened(t *testing.T, c client.Client, id, run string, what enums.EventType) bool {
	t.Helper()
	return slices.ContainsFunc(historyOf(t, c, id, run), func(e *history.HistoryEvent) bool { return e.GetEventType() == what })
}

// historyOf gives the events of a workflow's run; without one, of the last.
func historyOf(t *testing.T, c client.Client, id, run string) (events []*history.HistoryEvent) {
	t.Helper()
	it := c.GetWorkflowHistory(t.Context(), id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for it.HasNext() {
		e, err := it.Next()
		require.NoError(t, err)
		events = append(events, e)
	}
	return events
}

// resultOf waits for the end of an event's workflow.
func resultOf(t *testing.T, c client.Client, id string) (result workflows.EventResult) {
	t.Helper()
	require.NoError(t, c.GetWorkflow(t.Context(), id, "").Get(t.Context(), &result))
	return result
}

func TestAHealthyEventTakesASmallWorkflow(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inLane("workflow")
	b.start(worker.Step(pipelineName, &step{})).awaitReady()
	b.enqueue(event("a", 1), event("b", 1), event("a", 2), event("c", 1))
	got := b.awaitRecords(4)
	require.Equal(t, series("a", 1, 2), only("a", got))
	b.awaitSettled()
	b.untouched()
	c := b.temporal()
	for _, id := range []string{b.eventID("a", 1), b.eventID("b", 1), b.eventID("a", 2)} {
		require.Equal(t, omnibox.Completed, resultOf(t, c, id).Verdict)
		events, size := historyOf(t, c, id, ""), 0
		for _, e := range events {
			size += proto.Size(e)
		}
		require.LessOrEqual(t, len(events), 8)
		require.LessOrEqual(t, size, 2048)
		t.Logf("%d history events, %d bytes", len(events), size)
	}
}

func TestAnEventThatFailsInTheBatchLaneGetsAWorkflow(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.outbox(func(o *config.Outbox) { o.WorkflowBudget, o.Retry.Base, o.Retry.Max = 0, time.Hour, time.Hour })
	broken := b.startFailing()
	b.enqueue(bad(1), bad(2), event("good", 1))
	require.Equal(t, []string{"good/1"}, b.awaitRecords(1))
	c, id := b.temporal(), b.eventID("bad", 1)
	b.awaitStatus(c, id, workflows.StatusRetrying)
	broken.Store(false)
	require.NoError(t, c.SignalWorkflow(t.Context(), id, "", workflows.SignalRetryNow, workflows.EventSignal{By: "ops"}))
	require.Equal(t, series("bad", 1, 2), only("bad", b.awaitRecords(3)))
	b.awaitSettled()
	require.Equal(t, workflows.EventResult{Verdict: omnibox.Completed, By: "ops"}, resultOf(t, c, id))
	require.Equal(t, 1, ask[int](b, "select attempts_made from outbox_events where partition_key = 'bad' and payload->>'n' = '1'"))
}

func (b *bed) awaitStatus(c client.Client, id, status string) {
	b.t.Helper()
	eventually(b.t, status, func() bool {
		v, err := c.QueryWorkflow(b.t.Context(), id, "", workflows.QueryStatus)
		var state workflows.EventState
		return err == nil && v.Get(&state) == nil && state.Status == status
	})
}

// trap: 21, T5 (replay while the workflow is there)
func TestADeadEventWaitsForItsReplay(t *testing.T) {
	t.Parallel()
	for _, lane := range []string{"auto", "workflow"} {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.inLane(lane)
			var broken atomic.Bool
			broken.Store(true)
			var calls atomic.Int32
			s := &step{run: func(_ context.Context, e *omnibox.Event, n int) error {
				if e.Key != "bad" || n != 1 {
					return nil
				}
				calls.Add(1)
				if broken.Load() {
					return errors.New("cannot be done")
				}
				return nil
			}}
			b.start(worker.Step(pipelineName, s)).awaitReady()
			b.enqueue(bad(1), bad(2))
			c, id := b.temporal(), b.eventID("bad", 1)
			b.awaitStatus(c, id, workflows.StatusParked)
			require.Equal(t, int32(maxAttempts), calls.Load(), "as many attempts as the row counts")
			require.Equal(t, maxAttempts, ask[int](b, "select attempts from omnibox.dead_letters"))
			require.Equal(t, []string{"bad/2"}, b.awaitRecords(1))
			broken.Store(false)
			require.NoError(t, c.SignalWorkflow(t.Context(), id, "", workflows.SignalReplay, workflows.EventSignal{By: "ops"}))
			require.Equal(t, []string{"bad/2", "bad/1"}, b.awaitRecords(2))
			require.Equal(t, omnibox.Completed, resultOf(t, c, id).Verdict)
			require.Equal(t, "replayed ops", ask[string](b, "select state || ' ' || resolved_by from omnibox.dead_letters"))
		})
	}
}

// What its children cost a poller is bounded too: three events each, and a share of
// what a wave costs.
func TestAPollerPaysFewEventsAChild(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inLane("workflow")
	b.outbox(func(o *config.Outbox) { o.Shards = 1 })
	const n = 300
	for i := range n {
		b.enqueue(event(fmt.Sprintf("k%d", i), i))
	}
	start := time.Now()
	b.start().awaitReady()
	b.awaitRecords(n)
	b.awaitSettled()
	c := b.temporal()
	length := 0
	for _, run := range b.runs(c, b.poller(0)) {
		length += run
	}
	t.Logf("%.0f events/s, %.1f history events a child", n/time.Since(start).Seconds(), float64(length)/n)
	require.LessOrEqual(t, float64(length)/n, 5.0)
}

// A burst starts no more workflows than the budget and the calm threshold allow.
func TestABurstTakesTheBatchLane(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.outbox(func(o *config.Outbox) { o.WorkflowBudget, o.CalmThreshold = 30, 10 })
	b.start().awaitReady()
	const n = 5000
	for i := range n / 100 {
		var events []omnibox.Event
		for j := range 100 {
			events = append(events, event(fmt.Sprintf("k%d", j), 100*i+j))
		}
		b.enqueue(events...)
	}
	b.awaitRecords(n)
	b.awaitSettled()
	started := b.started()
	t.Logf("%d workflows", started)
	require.LessOrEqual(t, started, 30+10)
}

// started is how many event workflows the pollers have started.
func (b *bed) started() (all int) {
	b.t.Helper()
	c := b.temporal()
	for shard := range 2 {
		v, err := c.QueryWorkflow(b.t.Context(), b.poller(shard), "", workflows.QueryStatus)
		require.NoError(b.t, err)
		var state workflows.PollerState
		require.NoError(b.t, v.Get(&state))
		all += state.Started
	}
	return all
}

// runs are the lengths of the histories of all runs of a workflow.
func (b *bed) runs(c client.Client, id string) (lengths []int) {
	b.t.Helper()
	eventually(b.t, "visible", func() bool {
		found, err := c.ListWorkflow(b.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: fmt.Sprintf("WorkflowId = %q", id), PageSize: 1000})
		require.NoError(b.t, err)
		lengths = nil
		for _, e := range found.GetExecutions() {
			lengths = append(lengths, int(e.GetHistoryLength()))
			if e.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
				lengths[len(lengths)-1] = historyLength(b.t, c, id)
			}
		}
		return len(lengths) > 0
	})
	return lengths
}
