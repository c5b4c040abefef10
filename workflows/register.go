// Package workflows holds the control plane: small deterministic workflows
// that decide when the passes of a pipeline run. Their state is references
// and counters; events themselves never enter a history.
package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
)

// Registry is the part of a Temporal worker that takes registrations.
type Registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
	RegisterDynamicActivity(a any, options activity.DynamicRegisterOptions)
}

// Register registers the workflows and the activities of one pipeline.
func Register(r Registry, relay *activities.Relay, events *activities.Events) {
	r.RegisterWorkflowWithOptions(Poller, workflow.RegisterOptions{Name: PollerWorkflow})
	r.RegisterWorkflowWithOptions(Event, workflow.RegisterOptions{Name: EventWorkflow})
	for name, method := range builtIn(relay, events) {
		r.RegisterActivityWithOptions(method, activity.RegisterOptions{Name: name})
	}
	r.RegisterDynamicActivity(events.Unknown, activity.DynamicRegisterOptions{})
	for n, step := range relay.Lane.Plan.Steps {
		r.RegisterActivityWithOptions(events.Step(n), activity.RegisterOptions{Name: step.Name})
	}
}

// RegisterConsumer registers what an inbox has beside a pipeline's own.
func RegisterConsumer(r Registry, consumers *activities.Consumers) {
	r.RegisterWorkflowWithOptions(Consumer, workflow.RegisterOptions{Name: ConsumerWorkflow})
	r.RegisterActivityWithOptions(consumers.Consume, activity.RegisterOptions{Name: activityConsume})
}

// builtIn are the activities that every pipeline has.
func builtIn(relay *activities.Relay, events *activities.Events) map[string]any {
	return map[string]any{
		activityFetch: relay.Fetch, activityGather: relay.Gather, activityDrain: relay.Drain, activitySetPaused: relay.SetPaused,
		activitySteps: events.Steps, activityPublish: events.Publish, activityApply: events.Apply, activityCommit: events.Commit,
		activityDeadLetter: events.DeadLetter, activityReplay: events.Replay, activityDiscard: events.Discard, activityLook: events.Look,
	}
}

// CheckSteps refuses names of steps under which they cannot be activities: those
// of built-in ones, and names that come twice.
func CheckSteps(names []string) error {
	taken := builtIn(nil, nil) // for its names only
	taken[activityConsume] = nil
	for _, name := range names {
		if name == "" {
			return errors.New("a step has no name")
		}
		if _, found := taken[name]; found {
			return fmt.Errorf("two steps are called %q, or it is the name of a built-in activity: give the step another name", name)
		}
		taken[name] = nil
	}
	return nil
}

// TaskQueue is where the workers of a pipeline take their work from. Each
// pipeline has its own, so that a worker gets only what it has the steps for.
func TaskQueue(prefix, pipeline string) string { return prefix + "/" + pipeline }

// PollerID is the workflow id of a poller.
func PollerID(prefix, pipeline string, shard int) string {
	return fmt.Sprintf("%s/%s/poller/%d", prefix, pipeline, shard)
}

// ConsumerID is the workflow id of a consumer.
func ConsumerID(prefix, pipeline string, member int) string {
	return fmt.Sprintf("%s/%s/consumer/%d", prefix, pipeline, member)
}

// EventID is the workflow id of an event.
func EventID(prefix, pipeline, event string) string {
	return prefix + "/" + pipeline + "/event/" + event
}
