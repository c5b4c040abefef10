package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
)

// consumeTimeout is above the slice of any consumer.
const consumeTimeout = 25 * time.Hour

// ConsumerState is a consumer's whole state: what it is started with, what it
// continues with, and what the query "status" answers.
type ConsumerState struct {
	activities.Consumer
	Pipeline string `json:"pipeline"`
	// Runs is how many consume activities have ended, Landed how many messages
	// they consumed.
	Runs   int   `json:"runs"`
	Landed int64 `json:"landed"`
}

// Consumer keeps one member of an inbox's consumer group alive: an activity that
// lands messages for as long as its worker runs, and then goes on elsewhere. It
// ends only when there are fewer members.
func Consumer(ctx workflow.Context, state ConsumerState) error {
	if err := workflow.SetQueryHandler(ctx, QueryStatus, func() (ConsumerState, error) { return state, nil }); err != nil {
		return err
	}
	var actions *activities.Consumers // nil: for its method references only
	for {
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("Pipeline **%s**, consumer %d: %d messages landed in %d runs before this one.",
			state.Pipeline, state.Member, state.Landed, state.Runs))
		out, err := do(ctx, "", timeouts{whole: consumeTimeout, heartbeat: heartbeatTimeout}, actions.Consume, activities.ConsumeIn{Consumer: state.Consumer})
		if err != nil || out.Gone {
			return err
		}
		state.Runs++
		state.Landed += out.Landed
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, ConsumerWorkflow, state)
		}
	}
}
