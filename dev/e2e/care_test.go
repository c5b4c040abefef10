package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

// Somebody is in a hurry while an attempt is under way that then fails: the event
// goes on.
func TestRetryNowDuringAnAttemptThatFails(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inLane("workflow")
	b.outbox(func(o *config.Outbox) { o.Lease = 5 * time.Second })
	var calls atomic.Int32
	under, goOn := make(chan struct{}), make(chan struct{})
	b.start(worker.Step(pipelineName, &step{run: func(context.Context, *omnibox.Event, int) error {
		switch calls.Add(1) {
		case 1:
			return errors.New("first")
		case 2:
			close(under)
			<-goOn
			return errors.New("second")
		}
		return nil
	}})).awaitReady()
	b.enqueue(event("k", 1))
	<-under
	c, id := b.temporal(), b.eventID("k", 1)
	require.NoError(t, c.SignalWorkflow(t.Context(), id, "", workflows.SignalRetryNow, workflows.EventSignal{By: "ops"}))
	eventually(t, "the signal has been taken", func() bool {
		return happened(t, c, id, "", enums.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)
	})
	time.Sleep(8 * time.Second) // the attempt is heard of for longer than it need be
	close(goOn)
	require.Equal(t, []string{"k/1"}, b.awaitRecords(1))
	require.Equal(t, omnibox.Completed, resultOf(t, c, id).Verdict)
	require.False(t, happened(t, c, id, "", enums.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT))
	require.Equal(t, 2, ask[int](b, "select attempts_made from outbox_events"))
}

// A step cannot reach what it needs for one event, which is due again at once: it does
// not get one workflow after another, and others go on.
//
// trap: 13
func TestAnOutageOfAStepDoesNotStartOneWorkflowAfterAnother(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inLane("workflow")
	var down atomic.Bool
	down.Store(true)
	var asked atomic.Int32
	b.start(worker.Step(pipelineName, &step{run: func(_ context.Context, e *omnibox.Event, _ int) error {
		if e.Key == "needy" && down.Load() {
			asked.Add(1)
			return omnibox.Unreachable(errors.New("no answer"))
		}
		return nil
	}})).awaitReady()
	b.enqueue(event("needy", 1), event("free", 1))
	require.Equal(t, []string{"free/1"}, b.awaitRecords(1))
	eventually(t, "it is tried again", func() bool { return asked.Load() >= 4 })
	require.LessOrEqual(t, b.started(), 3)
	b.enqueue(event("free", 2))
	require.Equal(t, []string{"free/1", "free/2"}, b.awaitRecords(2))
	down.Store(false)
	b.awaitRecords(3)
	b.awaitSettled()
	b.untouched()
}

// A pause stops events that have workflows too.
func TestAPauseStopsEventWorkflows(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inLane("workflow")
	b.outbox(func(o *config.Outbox) { o.Retry.Base, o.Retry.Max = 2*time.Second, 2*time.Second })
	broken := b.startFailing()
	b.enqueue(bad(1))
	c, id := b.temporal(), b.eventID("bad", 1)
	b.awaitStatus(c, id, workflows.StatusRetrying)
	_, err := b.store().Pause(t.Context(), store.PauseParams{By: "ann"})
	require.NoError(t, err)
	broken.Store(false)
	require.Equal(t, omnibox.Verdict("left to the batch lane"), resultOf(t, c, id).Verdict) // when its next attempt was due
	b.nothingComes(0)
	_, err = b.store().Resume(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"bad/1"}, b.awaitRecords(1))
}

// With behind_failure: skip an event that has a workflow is overtaken too.
//
// trap: 3
func TestWithSkipAnEscalatedEventIsOvertaken(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{"shard", "row"} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.outbox(func(o *config.Outbox) {
				o.Claim, o.BehindFailure, o.WorkflowBudget = claim, "skip", 0
				o.Retry.Base, o.Retry.Max = time.Hour, time.Hour
			})
			b.startFailing()
			b.enqueue(bad(1))
			b.awaitStatus(b.temporal(), b.eventID("bad", 1), workflows.StatusRetrying)
			b.enqueue(bad(2))
			require.Equal(t, []string{"bad/2"}, b.awaitRecords(1))
		})
	}
}

// Events that fail in an activity, which Temporal tries again, leave no hold behind,
// wherever the parts of the work are done.
func TestNoHoldOutlivesItsEvent(t *testing.T) {
	t.Parallel()
	const n = 12
	b := newBed(t)
	b.inLane("workflow")
	var mu sync.Mutex
	calls := map[string]int{}
	b.broker.SetRefuse(func(r broker.Record) error {
		mu.Lock()
		defer mu.Unlock()
		calls[string(r.Key)]++
		if calls[string(r.Key)] < 4 {
			return omnibox.Transient(errors.New("no"))
		}
		return nil
	})
	b.start().awaitReady()
	b.start().awaitReady()
	for i := range n {
		e := event(fmt.Sprintf("k%d", i), 1)
		e.MaxAttempts = 2
		b.enqueue(e)
	}
	c := b.temporal()
	for i := range n {
		id := b.eventID(fmt.Sprintf("k%d", i), 1)
		b.awaitStatus(c, id, workflows.StatusParked)
		require.NoError(t, c.SignalWorkflow(t.Context(), id, "", workflows.SignalReplay, workflows.EventSignal{By: "ops"}))
	}
	b.awaitRecords(n)
	b.awaitSettled()
	require.Zero(t, ask[int](b, "select count(*) from omnibox.holds"))
}

// What was sent is not sent again when its row cannot be written at once.
func TestACommitThatFailsDoesNotSendAgain(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inLane("workflow")
	var left atomic.Int32
	left.Store(3)
	b.start(worker.CommitWith(pipelineName, func(s *store.Store) omnibox.CommitStrategy { return unsettled{s, &left} })).awaitReady()
	b.enqueue(event("k", 1))
	b.awaitSettled()
	require.Equal(t, []string{"k/1"}, b.records())
	require.Negative(t, left.Load())
}

// unsettled is a commit strategy that fails some times.
type unsettled struct {
	omnibox.CommitStrategy
	left *atomic.Int32
}

func (u unsettled) Commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	if outcomes[0].Verdict == omnibox.Completed && u.left.Add(-1) >= 0 {
		return omnibox.Unreachable(errors.New("database restarts"))
	}
	return u.CommitStrategy.Commit(ctx, outcomes)
}

// A deploy renames a step while a workflow is about to call it: the event goes on
// with the steps that there are.
func TestARenamedStepDoesNotStrandEvents(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inLane("workflow")
	b.outbox(func(o *config.Outbox) { o.Retry.Base, o.Retry.Max = 4*time.Second, 4*time.Second })
	var broken atomic.Bool
	broken.Store(true)
	before := b.start(worker.Step(pipelineName, renamed{failing(&broken), "old"})).awaitReady()
	b.enqueue(bad(1))
	c, id := b.temporal(), b.eventID("bad", 1)
	b.awaitStatus(c, id, workflows.StatusRetrying)
	before.stop()
	broken.Store(false)
	b.start(worker.Step(pipelineName, renamed{failing(&broken), "new"})).awaitReady()
	require.Equal(t, []string{"bad/1"}, b.awaitRecords(1))
	require.NoError(t, c.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil))
}

// renamed is a step under another name.
type renamed struct {
	*step
	name string
}

func (r renamed) Spec() pipeline.Spec { return pipeline.Spec{Name: r.name} }

// A namespace has a search attribute of the same name and another type: events go
// on without attributes.
func TestASearchAttributeOfAnotherTypeStopsNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inLane("workflow")
	namespace := devtest.Namespace(t)
	b.change = func(before func(*config.Config)) func(*config.Config) {
		return func(cfg *config.Config) { before(cfg); cfg.Temporal.Namespace = namespace }
	}(b.change)
	_, err := b.temporal().OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: map[string]enums.IndexedValueType{"OmniboxKey": enums.INDEXED_VALUE_TYPE_INT},
	})
	require.NoError(t, err)
	w := b.start().awaitReady()
	require.Contains(t, w.logs.String(), "needs Keyword")
	b.enqueue(event("k", 1))
	require.Equal(t, []string{"k/1"}, b.awaitRecords(1))
}
