package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/workflows"
)

// A person decides of a dead event at the last moment, while its workflow looks a
// last time whether it is dead still: what was accepted is done.
//
// trap: T11
func TestADecisionAtTheLastMomentCounts(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity("Look", mock.Anything, mock.Anything).Return(
		func(context.Context, activities.ResolveIn) (activities.ResolveOut, error) {
			env.SignalWorkflow(workflows.SignalDiscard, workflows.EventSignal{By: "ops", Note: "sent by hand"})
			return activities.ResolveOut{}, nil
		}).Once()
	env.OnActivity("Discard", mock.Anything, activities.ResolveIn{By: "ops", Note: "sent by hand"}).Return(activities.ResolveOut{}, nil).Once()
	env.ExecuteWorkflow(workflows.EventWorkflow, workflows.EventInput{
		Pipeline: "orders",
		Plan:     activities.Plan{Lease: 5000, ParkFor: activities.Milliseconds(time.Minute.Milliseconds())},
		Found:    workflows.Took{Verdict: omnibox.Dead, Class: omnibox.ClassPermanent, Parked: true},
	})
	require.NoError(t, env.GetWorkflowError())
	env.AssertExpectations(t)
}
