package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

// People search for events that need care, by all that the documentation names,
// whether the event failed in its workflow or before it had one. What goes well
// is not indexed.
func TestPeopleFindEventsThatFail(t *testing.T) {
	t.Parallel()
	for lane, budget := range map[string]int{"workflow": 100, "auto": 0} {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.inLane(lane)
			b.outbox(func(o *config.Outbox) { o.WorkflowBudget, o.Retry.Base, o.Retry.Max = budget, time.Hour, time.Hour })
			b.startFailing()
			b.enqueue(bad(1), event("good", 1))
			b.awaitRecords(1)
			c, id := b.temporal(), b.eventID("bad", 1)
			b.awaitStatus(c, id, workflows.StatusRetrying)
			query := fmt.Sprintf("WorkflowId = %q and OmniboxPipeline = %q and OmniboxTopic = %q and OmniboxKey = 'bad' and OmniboxStatus = 'retrying' and OmniboxErrorClass = 'transient'",
				id, pipelineName, topic)
			b.awaitFound(c, query)
			if budget > 0 {
				healthy, err := c.DescribeWorkflowExecution(t.Context(), b.eventID("good", 1), "")
				require.NoError(t, err)
				require.NotContains(t, fmt.Sprint(healthy.GetWorkflowExecutionInfo().GetSearchAttributes()), "Omnibox")
			}
		})
	}
}

// An event that is dead and waits for nobody is found too.
func TestPeopleFindDeadEventsThatAreNotParked(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inLane("workflow")
	b.outbox(func(o *config.Outbox) { o.MaxParked, o.MaxEscalations = 0, 0 })
	s := &step{run: func(context.Context, *omnibox.Event, int) error {
		return omnibox.Permanent(errors.New("not to be had"))
	}}
	b.start(worker.Step(pipelineName, s)).awaitReady()
	b.enqueue(event("bad", 1))
	c, id := b.temporal(), b.eventID("bad", 1)
	b.awaitFound(c, fmt.Sprintf("WorkflowId = %q and ExecutionStatus = 'Failed' and OmniboxKey = 'bad' and OmniboxStatus = 'dead' and OmniboxErrorClass = 'permanent'", id))
}

// awaitFound waits until a search finds one workflow.
func (b *bed) awaitFound(c client.Client, query string) {
	b.t.Helper()
	eventually(b.t, "found", func() bool {
		found, err := c.ListWorkflow(b.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		require.NoError(b.t, err)
		return len(found.GetExecutions()) == 1
	})
}
