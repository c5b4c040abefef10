// Package workflows holds the control plane: small deterministic workflows
// that decide when the passes of a pipeline run. Their state is references
// and counters; events themselves never enter a history.
package workflows

import (
	"fmt"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
)

// Registry is the part of a Temporal worker that takes registrations.
type Registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// Register registers the workflows and the activities of one pipeline.
func Register(r Registry, relay *activities.Relay) {
	r.RegisterWorkflowWithOptions(Poller, workflow.RegisterOptions{Name: PollerWorkflow})
	r.RegisterActivityWithOptions(relay.Fetch, activity.RegisterOptions{Name: activityFetch})
	r.RegisterActivityWithOptions(relay.Drain, activity.RegisterOptions{Name: activityDrain})
	r.RegisterActivityWithOptions(relay.SetPaused, activity.RegisterOptions{Name: activitySetPaused})
}

// TaskQueue is where the workers of a pipeline take their work from. Each
// pipeline has its own, so that a worker gets only what it has the steps for.
func TaskQueue(prefix, pipeline string) string { return prefix + "/" + pipeline }

// PollerID is the workflow id of a poller.
func PollerID(prefix, pipeline string, shard int) string {
	return fmt.Sprintf("%s/%s/poller/%d", prefix, pipeline, shard)
}
