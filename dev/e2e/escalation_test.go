package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

// Many events fail at once: as many as may have a workflow have one, and in the end
// all are dead, and all can be replayed.
func TestManyFailuresStayWithinTheLimitOfEscalations(t *testing.T) {
	t.Parallel()
	const n, most = 1000, 5
	b := newBed(t)
	b.outbox(func(o *config.Outbox) {
		o.MaxEscalations, o.MaxParked = most, most
		o.Retry.Base, o.Retry.Max = 20*time.Millisecond, 20*time.Millisecond
	})
	var broken atomic.Bool
	broken.Store(true)
	b.start(worker.Step(pipelineName, &step{run: func(_ context.Context, e *omnibox.Event, _ int) error {
		if broken.Load() {
			return errors.New("cannot be done")
		}
		return nil
	}})).awaitReady()
	var events []omnibox.Event
	for i := range n {
		e := event(fmt.Sprintf("k%d", i), i)
		e.MaxAttempts = 2
		events = append(events, e)
	}
	b.enqueue(events...)
	retried, parked := 0, 0
	eventually(t, "all dead", func() bool {
		retried = max(retried, ask[int](b, "select count(*) from outbox_events where status = 'pending' and lease_until > now() and locked_by = 'workflow:orders' and error_class is not null"))
		parked = max(parked, ask[int](b, "select count(*) from omnibox.dead_letters where state = 'open' and parked_until > now()"))
		return ask[int](b, "select count(*) from outbox_events where status = 'failed'") == n
	})
	require.LessOrEqual(t, retried, most)
	require.Equal(t, most, parked)
	broken.Store(false)
	done, err := b.store().Replay(t.Context(), store.ReplayParams{By: "ops"})
	require.NoError(t, err)
	require.Equal(t, n, done.Replayed)
	b.awaitRecords(n)
	b.awaitSettled()
}

// An outage is not a failure of events: it escalates nothing, counts nothing, and
// costs the pollers no history.
func TestAnOutageStartsNoWorkflows(t *testing.T) {
	t.Parallel()
	for _, lane := range []string{"auto", "workflow"} {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.inLane(lane)
			b.outbox(func(o *config.Outbox) { o.Lease = 5 * time.Second })
			w := b.start().awaitReady()
			b.broker.SetDown(true)
			var events []omnibox.Event
			for i := range 1000 {
				events = append(events, event(fmt.Sprintf("k%d", i%50), i))
			}
			b.enqueue(events...)
			c := b.temporal()
			eventually(t, "the outage is noticed", func() bool { return strings.Contains(w.logs.String(), "destination unreachable") })
			eventually(t, "workflows have let their events go", func() bool {
				return ask[int](b, "select count(*) from outbox_events where lease_until is not null") == 0
			})
			var before []int
			for shard := range 2 {
				before = append(before, historyLength(t, c, b.poller(shard)))
			}
			probes := func() int { return strings.Count(w.logs.String(), "destination still unreachable") }
			since := probes()
			eventually(t, "it lasts longer than a lease", func() bool { return probes() >= since+3 })
			for shard := range 2 {
				now := historyLength(t, c, b.poller(shard))
				t.Logf("%d history events, %d of them while it lasted", now, now-before[shard])
				require.Less(t, now-before[shard], 50)
				if lane == "auto" { // in lane workflow there are those of the children that met the outage
					require.Less(t, now, 50)
				}
			}
			require.Zero(t, ask[int](b, "select count(*) from omnibox.holds"))
			b.untouched()
			b.broker.SetDown(false)
			b.awaitRecords(1000)
			b.awaitSettled()
			b.untouched()
		})
	}
}

// Whoever has handed events to workflows dies before it could start them: their
// leases run out, and they are delivered.
//
// trap: T1, T8
func TestEventsWhoseWorkflowsNeverStartAreFetchedAgain(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.outbox(func(o *config.Outbox) { o.Lease = 5 * time.Second })
	b.enqueue(event("a", 1), event("a", 2), event("b", 1))
	s := b.store()
	p := pipeline.New(pipeline.Config{Name: pipelineName, Fetch: s, Lane: s.Lane(store.LaneConfig{Budget: -1, InFlight: 10}), Lease: 5 * time.Second, Handler: nobody{}})
	assigned, _, err := p.Assign(t.Context(), pipeline.Wave{Slots: activities.ShardSlots(0, 1), Most: 10})
	require.NoError(t, err)
	require.Len(t, assigned, 2)
	b.start().awaitReady()
	require.Equal(t, series("a", 1, 2), only("a", b.awaitRecords(3)))
	b.awaitSettled()
	b.untouched()
}

type nobody struct{}

func (nobody) Handle(context.Context, []*omnibox.Event) []error { return nil }
func (nobody) Probe(context.Context) error                      { return nil }

// A poller goes on as new while its children work: all of them finish.
//
// trap: T2
func TestChildrenOutliveTheRunOfTheirPoller(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inLane("workflow")
	b.outbox(func(o *config.Outbox) { o.Shards = 1 })
	release := make(chan struct{})
	var inside atomic.Int32
	b.start(worker.Step(pipelineName, longStep{&step{run: func(ctx context.Context, _ *omnibox.Event, _ int) error {
		inside.Add(1)
		select {
		case <-release:
		case <-ctx.Done():
		}
		return ctx.Err()
	}}})).awaitReady()
	c := b.temporal()
	n := 0
	begin := func(more int) { // all of them are under way then
		for range more {
			b.enqueue(event(fmt.Sprintf("k%d", n), n))
			n++
		}
		eventually(t, "all under way", func() bool { return int(inside.Load()) >= n })
	}
	begin(100)
	hasGoneOn := func() bool { return len(b.runs(c, b.poller(0))) > 1 }
	for range 50 { // it goes on when it has fetched once more, a moment after its start
		if hasGoneOn() {
			break
		}
		begin(1)
	}
	require.True(t, hasGoneOn())
	close(release)
	b.awaitRecords(n)
	b.awaitSettled()
	b.untouched()
}

// longStep is a step that is an activity of its own.
type longStep struct{ *step }

func (longStep) Spec() pipeline.Spec { return pipeline.Spec{Name: "test", Long: true} }

// A dead event is replayed after its workflow is gone from Temporal, and while it is
// still there: both times it is delivered once.
//
// trap: T5
func TestReplayDoesNotNeedTheWorkflow(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{true, false} {
		t.Run(fmt.Sprintf("gone %v", gone), func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.inLane("workflow")
			broken := b.startFailing()
			b.enqueue(bad(1))
			c, id := b.temporal(), b.eventID("bad", 1)
			b.awaitStatus(c, id, workflows.StatusParked)
			if gone {
				require.NoError(t, c.TerminateWorkflow(t.Context(), id, "", "test"))
				_, err := c.WorkflowService().DeleteWorkflowExecution(t.Context(), &workflowservice.DeleteWorkflowExecutionRequest{
					Namespace: "default", WorkflowExecution: &common.WorkflowExecution{WorkflowId: id},
				})
				require.NoError(t, err)
			}
			broken.Store(false)
			done, err := b.store().Replay(t.Context(), store.ReplayParams{By: "ops"})
			require.NoError(t, err)
			require.Equal(t, 1, done.Replayed)
			require.Equal(t, []string{"bad/1"}, b.awaitRecords(1))
			b.awaitSettled()
			if !gone { // too late for the signal: it changes nothing, and the workflow sees that it is not needed
				require.NoError(t, c.SignalWorkflow(t.Context(), id, "", workflows.SignalReplay, workflows.EventSignal{By: "late"}))
				require.Equal(t, omnibox.Verdict("left to the batch lane"), resultOf(t, c, id).Verdict)
			}
			b.nothingComes(1)
			require.Equal(t, 1, ask[int](b, "select replays from outbox_events"))
		})
	}
}

// A workflow of an event that is not there, and one too many of one that is, find no
// lease and end.
//
// trap: T7
func TestAWorkflowWithoutALeaseEnds(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.outbox(func(o *config.Outbox) { o.WorkflowBudget = 0 })
	b.start().awaitReady()
	b.enqueue(event("a", 1))
	b.awaitRecords(1)
	b.awaitSettled()
	c := b.temporal()
	there := pipeline.Turn{ID: ask[uuid.UUID](b, "select id from outbox_events"), CreatedAt: ask[time.Time](b, "select created_at from outbox_events"), Token: 1}
	for i, turn := range []pipeline.Turn{there, {ID: event("x", 1).Aggregate.ID, CreatedAt: time.Now(), Token: 1}} {
		run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID: fmt.Sprintf("%s/%d", b.prefix, i), TaskQueue: workflows.TaskQueue(b.prefix, pipelineName),
		}, workflows.EventWorkflow, workflows.EventInput{
			EventIn: activities.EventIn{Turn: turn}, Pipeline: pipelineName, Plan: activities.Plan{Lease: 5000},
		})
		require.NoError(t, err)
		var result workflows.EventResult
		require.NoError(t, run.Get(t.Context(), &result))
		require.Equal(t, omnibox.Verdict("left to the batch lane"), result.Verdict)
	}
	b.nothingComes(1)
	require.Equal(t, "completed", ask[string](b, "select status from outbox_events"))
}

// With behind_failure: follow what waits behind a dead event dies with it, in
// whichever lane it died, and comes back in order.
//
// trap: 3
func TestWithFollowTheRestOfTheKeyDiesToo(t *testing.T) {
	t.Parallel()
	for _, lane := range []string{"batch", "auto", "workflow"} {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.inLane(lane)
			b.outbox(func(o *config.Outbox) { o.BehindFailure = "follow" })
			broken := b.startFailing()
			b.enqueue(bad(1), bad(2), bad(3), event("good", 1))
			require.Equal(t, []string{"good/1"}, b.awaitRecords(1))
			b.awaitSettled()
			require.Equal(t, "followed,followed,transient", ask[string](b, "select string_agg(error_class, ',' order by error_class) from omnibox.dead_letters"))
			require.Equal(t, 3, ask[int](b, "select count(*) from outbox_events where status = 'failed'"))
			broken.Store(false)
			done, err := b.store().Replay(t.Context(), store.ReplayParams{By: "ops"})
			require.NoError(t, err)
			require.Equal(t, 3, done.Replayed)
			require.Equal(t, series("bad", 1, 3), only("bad", b.awaitRecords(4)))
		})
	}
}

// A person gives a dead event up by a signal.
func TestADeadEventIsDiscarded(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inLane("workflow")
	b.startFailing()
	b.enqueue(bad(1))
	c, id := b.temporal(), b.eventID("bad", 1)
	b.awaitStatus(c, id, workflows.StatusParked)
	found, err := c.DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err)
	require.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, found.GetWorkflowExecutionInfo().GetStatus())
	require.NoError(t, c.SignalWorkflow(t.Context(), id, "", workflows.SignalDiscard, workflows.EventSignal{By: "ops", Note: "obsolete"}))
	require.Equal(t, workflows.EventResult{Verdict: "discarded", By: "ops"}, resultOf(t, c, id))
	require.Equal(t, "discarded ops obsolete", ask[string](b, "select state || ' ' || resolved_by || ' ' || note from omnibox.dead_letters"))
}
