package workflows_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/workflows"
)

var me = activities.Poller{Shard: 1, Database: "db"}

func newEnv(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	workflows.Register(env, &activities.Relay{}, &activities.Events{})
	return env
}

func state() workflows.PollerState {
	return workflows.PollerState{Poller: me, Pipeline: "orders"}
}

func query(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.PollerState {
	t.Helper()
	v, err := env.QueryWorkflow(workflows.QueryStatus)
	require.NoError(t, err)
	var got workflows.PollerState
	require.NoError(t, v.Get(&got))
	return got
}

func TestPollerDrainsWhatIsDueAndEndsWithItsShard(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	fetchIn := activities.FetchIn{Poller: me}
	found := activities.FetchOut{Due: true, Drain: time.Minute}
	env.OnActivity("Fetch", mock.Anything, fetchIn).Return(activities.FetchOut{Drain: time.Minute}, nil).Once()
	env.OnActivity("Fetch", mock.Anything, fetchIn).Return(found, nil).Twice()
	env.OnActivity("Fetch", mock.Anything, fetchIn).Return(activities.FetchOut{Gone: true}, nil).Once()
	env.OnActivity("Drain", mock.Anything, activities.DrainIn{Poller: me}).
		Return(activities.DrainOut{Reason: pipeline.Calm, Counts: pipeline.Counts{Completed: 7, Dead: 1}}, nil).Twice()

	env.ExecuteWorkflow(workflows.PollerWorkflow, state())
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	got := query(t, env)
	require.Equal(t, 2, got.Drains)
	require.Equal(t, int64(14), got.Sent)
	require.Equal(t, int64(2), got.Dead)
	require.Equal(t, pipeline.Calm, got.Last.Reason)
	env.AssertExpectations(t)
}

func TestPollerOutlivesFailures(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	failures := 0
	env.OnActivity("Fetch", mock.Anything, mock.Anything).Return(
		func(context.Context, activities.FetchIn) (activities.FetchOut, error) {
			if failures++; failures < 10 { // the test environment itself gives up at ten
				return activities.FetchOut{}, errors.New("database is down")
			}
			return activities.FetchOut{Gone: true}, nil
		})
	env.ExecuteWorkflow(workflows.PollerWorkflow, state())
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 10, failures)
}

func TestPollerTakesABreathAfterADrainThatDidNothing(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var at []time.Time
	env.OnActivity("Fetch", mock.Anything, mock.Anything).Return(
		func(context.Context, activities.FetchIn) (activities.FetchOut, error) {
			at = append(at, env.Now())
			return activities.FetchOut{Due: true, Gone: len(at) == 4, Drain: time.Minute}, nil
		})
	env.OnActivity("Drain", mock.Anything, mock.Anything).Return(activities.DrainOut{Reason: pipeline.Unreachable}, nil)
	env.ExecuteWorkflow(workflows.PollerWorkflow, state())
	require.NoError(t, env.GetWorkflowError())
	for i := range len(at) - 1 {
		require.GreaterOrEqual(t, at[i+1].Sub(at[i]), time.Second<<i, "longer each time")
	}
}

func TestPauseDoesNotWaitForTheDrain(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var paused []activities.SetPausedIn
	env.OnActivity("Fetch", mock.Anything, mock.Anything).Return(activities.FetchOut{Due: true, Drain: time.Hour}, nil).Once()
	env.OnActivity("Fetch", mock.Anything, mock.Anything).Return(activities.FetchOut{Gone: true}, nil)
	env.OnActivity("Drain", mock.Anything, mock.Anything).After(30*time.Minute).Return(activities.DrainOut{}, nil)
	env.OnActivity("SetPaused", mock.Anything, mock.Anything).Return(
		func(ctx context.Context, in activities.SetPausedIn) (activities.SetPausedOut, error) {
			require.Zero(t, activity.GetInfo(ctx).HeartbeatTimeout, "it has none, and would be repeated while it runs")
			paused = append(paused, in)
			return activities.SetPausedOut{}, nil
		})
	env.RegisterDelayedCallback(func() {
		env.SignalWorkflow(workflows.SignalPause, workflows.PauseSignal{By: "ops", Reason: "maintenance"})
	}, time.Minute)
	env.RegisterDelayedCallback(func() {
		require.Equal(t, []activities.SetPausedIn{{Poller: me, Paused: true, By: "ops", Reason: "maintenance"}}, paused)
		require.Equal(t, 1, query(t, env).Signals)
		env.SignalWorkflow(workflows.SignalResume, workflows.PauseSignal{By: "ops"})
	}, 2*time.Minute)
	env.ExecuteWorkflow(workflows.PollerWorkflow, state())
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, activities.SetPausedIn{Poller: me, Paused: false, By: "ops"}, paused[len(paused)-1])
}

// trap: T11 (a signal that arrives with the end of a run goes into the next)
func TestSignalsSurviveContinuingAsNew(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity("Fetch", mock.Anything, mock.Anything).Return(
		func(context.Context, activities.FetchIn) (activities.FetchOut, error) {
			env.SetContinueAsNewSuggested(true)
			for range 10 {
				env.SignalWorkflow(workflows.SignalPause, workflows.PauseSignal{By: "ops"})
			}
			return activities.FetchOut{}, nil
		}).Once()
	env.OnActivity("SetPaused", mock.Anything, mock.Anything).After(time.Minute).Return(activities.SetPausedOut{}, nil)
	env.ExecuteWorkflow(workflows.PollerWorkflow, state())
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	require.Equal(t, workflows.PollerWorkflow, next.WorkflowType.Name)
	var carried workflows.PollerState
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &carried))
	require.Equal(t, 10, carried.Signals)
	require.Equal(t, &activities.SetPausedIn{Poller: me, Paused: true, By: "ops"}, carried.Wanted)

	env = newEnv(t) // the next run writes it down before all else
	written := false
	env.OnActivity("SetPaused", mock.Anything, *carried.Wanted).Return(
		func(context.Context, activities.SetPausedIn) (activities.SetPausedOut, error) {
			written = true
			return activities.SetPausedOut{}, nil
		}).Once()
	env.OnActivity("Fetch", mock.Anything, mock.Anything).After(time.Minute).Return(activities.FetchOut{Gone: true}, nil)
	env.ExecuteWorkflow(workflows.PollerWorkflow, carried)
	require.NoError(t, env.GetWorkflowError())
	require.True(t, written)
}

// trap: T11 (the last word of a person counts, however slow the database is)
func TestTheLastSignalCounts(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var applied []bool
	env.OnActivity("Fetch", mock.Anything, mock.Anything).After(time.Hour).Return(activities.FetchOut{Gone: true}, nil)
	env.OnActivity("SetPaused", mock.Anything, mock.Anything).After(20 * time.Minute).Return(
		func(_ context.Context, in activities.SetPausedIn) (activities.SetPausedOut, error) {
			applied = append(applied, in.Paused)
			return activities.SetPausedOut{}, nil
		})
	for at, signal := range map[time.Duration]string{
		time.Minute: workflows.SignalPause, 2 * time.Minute: workflows.SignalPause, 10 * time.Minute: workflows.SignalResume,
	} {
		env.RegisterDelayedCallback(func() { env.SignalWorkflow(signal, workflows.PauseSignal{By: "ops"}) }, at)
	}
	env.ExecuteWorkflow(workflows.PollerWorkflow, state())
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []bool{true, false}, applied)
}

// A signal that nobody can read must not be taken for another.
func TestABrokenSignalIsDropped(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var applied []activities.SetPausedIn
	env.OnActivity("Fetch", mock.Anything, mock.Anything).After(time.Hour).Return(activities.FetchOut{Gone: true}, nil)
	env.OnActivity("SetPaused", mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.SetPausedIn) (activities.SetPausedOut, error) {
			applied = append(applied, in)
			return activities.SetPausedOut{}, nil
		})
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalPause, "text only") }, time.Minute)
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalPause, workflows.PauseSignal{By: "ops"}) }, 2*time.Minute)
	env.ExecuteWorkflow(workflows.PollerWorkflow, state())
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []activities.SetPausedIn{{Poller: me, Paused: true, By: "ops"}}, applied)
}

func TestASignalIsAppliedBeforeAPollerEnds(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	applied := 0
	env.OnActivity("Fetch", mock.Anything, mock.Anything).Return(
		func(context.Context, activities.FetchIn) (activities.FetchOut, error) {
			env.SignalWorkflow(workflows.SignalPause, workflows.PauseSignal{By: "ops"})
			return activities.FetchOut{Gone: true}, nil
		}).Once()
	env.OnActivity("SetPaused", mock.Anything, mock.Anything).Return(
		func(context.Context, activities.SetPausedIn) (activities.SetPausedOut, error) {
			applied++
			return activities.SetPausedOut{}, nil
		})
	env.ExecuteWorkflow(workflows.PollerWorkflow, state())
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 1, applied)
}

func TestPollerStopsWhenItIsCancelled(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity("Fetch", mock.Anything, mock.Anything).After(time.Hour).Return(activities.FetchOut{}, nil)
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
	env.ExecuteWorkflow(workflows.PollerWorkflow, state())
	var cancelled *temporal.CanceledError
	require.ErrorAs(t, env.GetWorkflowError(), &cancelled)
}
