package demo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"

	"github.com/omnibox-go/omnibox/workflows"
)

// eventID is the id of the workflow of an order's event, if it has one.
func (s *stack) eventID(order uuid.UUID) string {
	return workflows.EventID(s.prefix, pipelineName, order.String())
}

// eventWorkflow is what Temporal knows of the workflow of an order's event; nil
// if there is none.
func (s *stack) eventWorkflow(ctx context.Context, order uuid.UUID) (*workflow.WorkflowExecutionInfo, error) {
	found, err := s.client.DescribeWorkflowExecution(ctx, s.eventID(order), "")
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return nil, nil //nolint:nilnil // most events have none
	}
	if err != nil {
		return nil, fmt.Errorf("describe the workflow of order %s: %w", order, err)
	}
	return found.GetWorkflowExecutionInfo(), nil
}

// awaitEscalated waits until the event of an order, which has failed, has a
// workflow of its own. It tells whether that was started because of the failure:
// the workflow of a healthy event is the child of a poller.
func (s *stack) awaitEscalated(ctx context.Context, order uuid.UUID) (escalated bool, err error) {
	s.escalated = append(s.escalated, s.eventID(order))
	err = poll(ctx, func(ctx context.Context) (bool, error) {
		info, err := s.eventWorkflow(ctx, order)
		escalated = info != nil && info.GetParentExecution() == nil
		return info != nil, err
	})
	if err != nil {
		return false, fmt.Errorf("wait for the workflow of order %s: %w", order, err)
	}
	return escalated, nil
}

// awaitParked waits until the workflow of an order's event waits for a person.
func (s *stack) awaitParked(ctx context.Context, order uuid.UUID) error {
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		var state workflows.EventState
		err := s.query(ctx, s.eventID(order), &state)
		return state.Status == workflows.StatusParked, err
	})
	if err != nil {
		return fmt.Errorf("wait for the workflow of order %s to be parked: %w", order, err)
	}
	return nil
}

// awaitEnded waits until the workflow of an order's event has completed.
func (s *stack) awaitEnded(ctx context.Context, order uuid.UUID) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	err := s.client.GetWorkflow(ctx, s.eventID(order), "").Get(ctx, nil)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("wait for the workflow of order %s to end: %w", order, err)
	}
	return nil
}

// query asks a workflow how it is.
func (s *stack) query(ctx context.Context, id string, state any) error {
	v, err := s.client.QueryWorkflow(ctx, id, "", workflows.QueryStatus)
	if err == nil {
		err = v.Get(state)
	}
	if err != nil {
		return fmt.Errorf("query %s: %w", id, err)
	}
	return nil
}

// started is how many events the pollers have given a workflow so far.
func (s *stack) started(ctx context.Context) (all int, err error) {
	for shard := range shards {
		var state workflows.PollerState
		if err := s.query(ctx, workflows.PollerID(s.prefix, pipelineName, shard), &state); err != nil {
			return 0, err
		}
		all += state.Started
	}
	return all, nil
}

// signalReplay asks the workflow of an order's dead event to deliver it.
func (s *stack) signalReplay(ctx context.Context, order uuid.UUID) error {
	err := s.client.SignalWorkflow(ctx, s.eventID(order), "", workflows.SignalReplay, workflows.EventSignal{By: "demo"})
	if err != nil {
		return fmt.Errorf("signal %s: %w", workflows.SignalReplay, err)
	}
	return nil
}

// showWorkflow shows where a workflow is to be seen.
func (s *stack) showWorkflow(id string) {
	if ui := s.temporal.UIAddress(); ui != "" {
		s.screen.command(ui + "/namespaces/default/workflows/" + url.PathEscape(id))
		return
	}
	s.screen.command(id)
}

// allowed is how many workflows healthy events may start within d.
func (sh *show) allowed(d time.Duration) int {
	return sh.bucket() + int(float64(sh.limits.WorkflowBudget)*d.Minutes()) + 1
}

// bucket is how much of the budget is kept while nothing happens.
func (sh *show) bucket() int { return min(sh.limits.CalmThreshold, sh.limits.WorkflowBudget) }
