package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// until runs a part as an activity until it has come to something. A person who
// does not want to wait for the next attempt ends the backoff; an attempt under
// way goes on and is waited for.
func (e *event) until(ctx workflow.Context, summary, name string, timeout time.Duration, in any) (Took, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: timeout,
		HeartbeatTimeout:    min(heartbeatTimeout, e.lease()),
		WaitForCancellation: true,
		RetryPolicy:         forever,
		Summary:             summary,
	})
	for {
		tryCtx, cancel := workflow.WithCancel(ctx)
		try := workflow.ExecuteActivity(tryCtx, name, in)
		hurried := e.person.retryNowBefore(ctx, try)
		if hurried {
			cancel()
		}
		var took Took
		err := try.Get(ctx, &took)
		cancel()
		if hurried && err != nil && ctx.Err() == nil { // its backoff was cut short, or its failure is in the row
			continue
		}
		return took, err
	}
}
