package activities_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/omnibox-go/omnibox/activities"
)

// consume runs the activity for a member of the database.
func consume(t *testing.T, c *activities.Consumers, member int, database string, stop chan struct{}) (out activities.ConsumeOut, err error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerStopChannel(stop)
	env.SetWorkerOptions(worker.Options{})
	env.RegisterActivityWithOptions(c.Consume, activity.RegisterOptions{Name: "Consume"})
	got, err := env.ExecuteActivity("Consume", activities.ConsumeIn{Consumer: activities.Consumer{Member: member, Database: database}})
	if err == nil {
		require.NoError(t, got.Get(&out))
	}
	return out, err
}

// untilStopped lands 3 messages and waits for its end.
func untilStopped(ctx context.Context, landed func(int)) error {
	landed(1)
	landed(2)
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestConsumeEndsInOrder(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	c := &activities.Consumers{Database: "db", Members: 1, Slice: time.Hour, Run: func(ctx context.Context, landed func(int)) error {
		close(stop)
		return untilStopped(ctx, landed)
	}}
	out, err := consume(t, c, 0, "db", stop)
	require.NoError(t, err, "the worker stops")
	require.Equal(t, int64(3), out.Landed)

	c = &activities.Consumers{Database: "db", Members: 1, Slice: time.Millisecond, Run: untilStopped}
	out, err = consume(t, c, 0, "db", make(chan struct{}))
	require.NoError(t, err, "its time is up")
	require.Equal(t, int64(3), out.Landed)
}

func TestConsumeForNobody(t *testing.T) {
	t.Parallel()
	c := &activities.Consumers{Database: "db", Members: 2, Slice: time.Hour, Run: func(context.Context, func(int)) error {
		return errors.New("must not run")
	}}
	out, err := consume(t, c, 2, "db", make(chan struct{}))
	require.NoError(t, err)
	require.True(t, out.Gone, "there are fewer members now")

	_, err = consume(t, c, 0, "other", make(chan struct{}))
	var wrong *temporal.ApplicationError
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, activities.TypeWrongDatabase, wrong.Type())
}
