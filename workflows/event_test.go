package workflows_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/workflows"
)

// The database is away for longer than the local activities wait, behind a long step:
// what comes next knows of the step, or it would take the event for one that ended
// its worker.
func TestAPartThatFailedAsAWholeChangesNoTurn(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var begun []int
	env.RegisterActivityWithOptions(func(_ context.Context, in activities.EventIn) (workflows.Took, error) {
		begun = append(begun, in.Turn.Begun)
		return workflows.Took{Begun: in.Turn.Begun + 1}, nil
	}, activity.RegisterOptions{Name: "slow"})
	env.OnActivity("Publish", mock.Anything, mock.Anything).Return(workflows.Took{}, errors.New("database is down")).Times(3)
	env.OnActivity("Publish", mock.Anything, mock.Anything).Return(workflows.Took{Verdict: omnibox.Completed, Begun: 2}, nil).Once()
	env.OnActivity("Commit", mock.Anything, mock.Anything).Return(workflows.Took{Verdict: omnibox.Completed}, nil).Once()
	env.ExecuteWorkflow(workflows.EventWorkflow, workflows.EventInput{
		Pipeline: "orders", Plan: activities.Plan{Lease: 5000, Steps: []activities.Step{{Name: "slow", Timeout: 1000, Long: true}}},
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []int{0, 1}, begun)
}
