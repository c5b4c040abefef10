package workflows

import (
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
)

// bigWave is how many children are worth waiting for together.
const bigWave = 5

// spawn starts a workflow for each event that a fetch has handed over, and waits
// until all have started: a child that its parent has only asked for is never
// started when the parent ends. What cannot be started is not waited for; the
// lease of its row runs out, and it is fetched again.
//
// A wave that starts one by one would wake the poller as often. So after the first
// start it is kept awake for a moment, and is told of the others at once.
func (p *poller) spawn(ctx workflow.Context, turns []activities.Turn, plan activities.Plan) {
	p.spawned += len(turns)
	children := make([]workflow.ChildWorkflowFuture, len(turns))
	for i, turn := range turns {
		in := EventInput{EventIn: activities.EventIn{Turn: turn}, Pipeline: p.Pipeline, Plan: plan}
		children[i] = workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID: EventID(p.Prefix, p.Pipeline, turn.ID.String()),
			// it lives on when the poller continues as new
			ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
			TypedSearchAttributes: EventAttributes(in),
			StaticSummary:         EventSummary(in),
		}), EventWorkflow, in)
	}
	for i, child := range children {
		err := child.GetChildWorkflowExecution().Get(ctx, nil)
		if i == 0 && len(children) >= bigWave {
			_, _ = local(ctx, fetchTimeout, p.relay.Gather, p.Poller) // nothing depends on it
		}
		if err == nil {
			p.Started++
		} else { // also when an earlier one, which has lost the lease, still runs
			p.NotStarted++
			workflow.GetLogger(ctx).Warn("event workflow did not start, its event is fetched again when its lease is over", "error", err)
		}
	}
}

// EventSummary is what the UI shows beside the workflow of an event.
func EventSummary(in EventInput) string {
	return fmt.Sprintf("%s, key %s", in.Turn.Type, in.Turn.Key)
}
