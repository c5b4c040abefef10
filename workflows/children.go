package workflows

import (
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
)

// spawn starts a workflow for each event that a fetch has handed over, and waits
// until all have started: a child that its parent has only asked for is never
// started when the parent ends. What cannot be started is not waited for; the
// lease of its row runs out, and it is fetched again.
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
	for _, child := range children {
		err := child.GetChildWorkflowExecution().Get(ctx, nil)
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
