package workflows_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/workflows"
)

func TestConsumerConsumesUntilItIsGone(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	workflows.RegisterConsumer(env, &activities.Consumers{})
	member := activities.Consumer{Member: 2, Database: "db"}
	runs := 0
	env.OnActivity("Consume", mock.Anything, activities.ConsumeIn{Consumer: member}).Return(
		func(context.Context, activities.ConsumeIn) (activities.ConsumeOut, error) {
			switch runs++; runs {
			case 1:
				return activities.ConsumeOut{}, errors.New("worker was killed")
			case 4:
				return activities.ConsumeOut{Gone: true}, nil
			}
			return activities.ConsumeOut{Landed: 100}, nil
		})

	env.ExecuteWorkflow(workflows.ConsumerWorkflow, workflows.ConsumerState{Consumer: member, Pipeline: "billing"})
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	v, err := env.QueryWorkflow(workflows.QueryStatus)
	require.NoError(t, err)
	var got workflows.ConsumerState
	require.NoError(t, v.Get(&got))
	require.Equal(t, 2, got.Runs)
	require.Equal(t, int64(200), got.Landed)
}
