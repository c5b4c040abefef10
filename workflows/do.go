package workflows

import (
	"context"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// timeouts of an activity: for the whole, and between two heartbeats.
type timeouts struct{ whole, heartbeat time.Duration }

// do runs an activity and waits for it. It restores the types that
// ExecuteActivity erases; method is a reference, never called here. The summary
// is what the UI shows beside the activity.
func do[In, Out any](ctx workflow.Context, summary string, t timeouts, method func(context.Context, In) (Out, error), in In) (Out, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: t.whole,
		HeartbeatTimeout:    t.heartbeat,
		RetryPolicy:         forever,
		Summary:             summary,
	})
	var out Out
	err := workflow.ExecuteActivity(ctx, method, in).Get(ctx, &out)
	return out, err
}

// local runs a local activity. It is tried only a few times: what it needs may be
// down for longer than the event's lease lasts.
func local[In, Out any](ctx workflow.Context, timeout time.Duration, method func(context.Context, In) (Out, error), in In) (Out, error) {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: timeout,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumAttempts: 3},
	})
	var out Out
	err := workflow.ExecuteLocalActivity(ctx, method, in).Get(ctx, &out)
	return out, err
}
