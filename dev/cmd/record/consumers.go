package main

import (
	"context"
	"errors"
	"sync"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/workflows"
)

// consumerScript plays a consumer that fails once, ends in order so often, and
// then is no more.
type consumerScript struct {
	name string
	runs int

	mu    sync.Mutex
	asked int
}

func consumerScripts() []*consumerScript {
	return []*consumerScript{
		{name: "short", runs: 2},
		{name: "rollover", runs: 12},
	}
}

// Consume is the activity of the script.
func (s *consumerScript) Consume(context.Context, activities.ConsumeIn) (activities.ConsumeOut, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.asked++; {
	case s.asked == 1:
		return activities.ConsumeOut{}, errors.New("worker was killed")
	case s.asked > s.runs+1:
		return activities.ConsumeOut{Gone: true}, nil
	}
	return activities.ConsumeOut{Landed: 7}, nil
}

func (s *consumerScript) play(ctx context.Context, c client.Client, w worker.Worker) (client.WorkflowRun, error) {
	w.RegisterWorkflowWithOptions(workflows.Consumer, workflow.RegisterOptions{Name: workflows.ConsumerWorkflow})
	w.RegisterActivityWithOptions(s.Consume, activity.RegisterOptions{Name: "Consume"})
	if err := w.Start(); err != nil {
		return nil, err
	}
	state := workflows.ConsumerState{Consumer: activities.Consumer{Member: 0, Database: "recorded"}, Pipeline: "recorded"}
	return c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "omnibox/recorded/consumer/" + s.name, TaskQueue: queue}, workflows.ConsumerWorkflow, state)
}
