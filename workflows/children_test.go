package workflows_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/workflows"
)

// A third of the children cannot be started: the poller counts them and goes on.
// Their events are fetched again when their leases are over.
//
// trap: T8
func TestChildrenThatDoNotStartAreLeftToTheirLeases(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	out := activities.FetchOut{Plan: &activities.Plan{Lease: 5000}}
	for n := range 21 {
		out.Turns = append(out.Turns, pipeline.Turn{ID: uuid.New(), Topic: "orders", Key: "k", Slot: n})
	}
	env.OnActivity("Fetch", mock.Anything, mock.Anything).Return(out, nil).Once()
	env.OnActivity("Fetch", mock.Anything, mock.Anything).Return(activities.FetchOut{Gone: true}, nil)
	fails := func(in workflows.EventInput) bool { return in.Turn.Slot%3 == 0 }
	env.OnWorkflow(workflows.EventWorkflow, mock.Anything, mock.MatchedBy(fails)).
		Return(workflows.EventResult{}, testsuite.ErrMockStartChildWorkflowFailed)
	env.OnWorkflow(workflows.EventWorkflow, mock.Anything, mock.Anything).
		Return(func(workflow.Context, workflows.EventInput) (workflows.EventResult, error) {
			return workflows.EventResult{}, nil
		})
	env.ExecuteWorkflow(workflows.PollerWorkflow, state())
	require.NoError(t, env.GetWorkflowError())
	got := query(t, env)
	require.Equal(t, []int{14, 7}, []int{got.Started, got.NotStarted})
}

// Visibility in SQL has ten keywords for all that use the namespace.
//
// trap: T13
func TestSearchAttributesAreFew(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, len(workflows.Attributes()), 5)
}

// An event whose workflow lasts is to be found from its start.
func TestEventsThatLastStartWithAttributes(t *testing.T) {
	t.Parallel()
	in := workflows.EventInput{Pipeline: "orders", Plan: activities.Plan{Attributes: true, Steps: []activities.Step{{Name: "quick"}}}}
	require.Zero(t, workflows.EventAttributes(in).Size(), "done in a moment")
	long, failed := in, in
	long.Plan.Steps = []activities.Step{{Name: "quick"}, {Name: "slow", Long: true}}
	require.Equal(t, 4, workflows.EventAttributes(long).Size())
	failed.Found = workflows.Took{Verdict: omnibox.Retry, Class: omnibox.ClassTransient}
	require.Equal(t, 5, workflows.EventAttributes(failed).Size())
	long.Plan.Attributes = false
	require.Zero(t, workflows.EventAttributes(long).Size(), "the namespace has none")
}
