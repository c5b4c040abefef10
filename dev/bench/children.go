package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// childRatio is what the workflow lane may cost beside a child that does nothing
// as often.
const childRatio = 0.9

// children are the workflow lane, and what it is held against: workflows that do
// nothing, started in waves as the poller starts its own.
func children() []Variant {
	return []Variant{
		{Name: "child-empty", Title: "child workflow that is empty", run: runChildren(0)},
		{Name: "child-three", Title: "child workflow with three empty local activities", run: runChildren(3)},
		{
			Name: "workflow-lane", Title: "workflow lane: a workflow for each event", Against: "child-three",
			Goals: []Goal{{Figure: Rate, AtLeast: childRatio}}, run: runWorkflowLane(false),
		},
		{
			Name: "workflow-lane-empty", Title: "″, against a child that is empty", Against: "child-empty", run: runWorkflowLane(false),
		},
		{
			Name: "workflow-lane-step", Title: "workflow lane, with a user's step", Against: "child-three",
			Goals: []Goal{{Figure: Rate, AtLeast: childRatio}}, run: runWorkflowLane(true),
		},
	}
}

// childWave is how many children a poller starts at once.
const childWave = 20

const (
	spawnerWorkflow = "bench.Spawner"
	childWorkflow   = "bench.Child"
)

// spawn starts n children in waves, and waits for each wave to have started.
func spawn(ctx workflow.Context, n, locals int, id string) error {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{ParentClosePolicy: enums.PARENT_CLOSE_POLICY_ABANDON})
	var all []workflow.ChildWorkflowFuture
	for i := 0; i < n; i += childWave {
		for j := i; j < min(i+childWave, n); j++ {
			childCtx := workflow.WithWorkflowID(ctx, fmt.Sprintf("%s/%d", id, j))
			all = append(all, workflow.ExecuteChildWorkflow(childCtx, childWorkflow, locals))
		}
		for _, child := range all[i:] {
			if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
				return err
			}
		}
	}
	for _, child := range all {
		if err := child.Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func child(ctx workflow.Context, locals int) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 10 * time.Second, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	for range locals {
		if err := workflow.ExecuteLocalActivity(ctx, nothing).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func nothing(context.Context) error { return nil }

// runChildren has as many parents as a worker has pollers start children that have
// so many local activities.
func runChildren(locals int) func(context.Context, Setup) (Sample, error) {
	return func(ctx context.Context, s Setup) (_ Sample, err error) {
		server, err := s.Lab.Temporal(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		quiet := log.NewStructuredLogger(slog.New(slog.DiscardHandler))
		c, err := client.DialContext(ctx, client.Options{HostPort: server.Address(), Logger: quiet})
		if err != nil {
			return nil, err
		}
		defer c.Close()
		queue := fmt.Sprintf("bench-%d-%d", locals, time.Now().UnixNano())
		w := sdkworker.New(c, queue, sdkworker.Options{})
		w.RegisterWorkflowWithOptions(spawn, workflow.RegisterOptions{Name: spawnerWorkflow})
		w.RegisterWorkflowWithOptions(child, workflow.RegisterOptions{Name: childWorkflow})
		if err := w.Start(); err != nil {
			return nil, err
		}
		defer w.Stop()
		before, start := s.Lab.Usage(), time.Now()
		var parents sync.WaitGroup
		errs := make([]error, workers)
		for n := range workers {
			parents.Go(func() {
				id := fmt.Sprintf("%s/%d", queue, n)
				run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: queue}, spawnerWorkflow, s.Children/workers, locals, id)
				if err == nil {
					err = run.Get(ctx, nil)
				}
				errs[n] = err
			})
		}
		parents.Wait()
		took := time.Since(start)
		return Sample{Rate: float64(s.Children) / took.Seconds()}.cost(s.Lab.Usage().Since(before), s.Children), errors.Join(errs...)
	}
}

// runWorkflowLane is the whole worker where every event takes a workflow.
func runWorkflowLane(step bool) func(context.Context, Setup) (Sample, error) {
	return func(ctx context.Context, s Setup) (Sample, error) {
		s.Events = s.Children
		return relayUnderTemporal(ctx, s, "lane: workflow", step)
	}
}
