package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/activities"
)

// Search attributes of event workflows. They are few, since a namespace may have
// ten keywords where visibility is in SQL.
var (
	AttributePipeline = temporal.NewSearchAttributeKeyKeyword("OmniboxPipeline")
	AttributeTopic    = temporal.NewSearchAttributeKeyKeyword("OmniboxTopic")
	AttributeKey      = temporal.NewSearchAttributeKeyKeyword("OmniboxKey")
	AttributeStatus   = temporal.NewSearchAttributeKeyKeyword("OmniboxStatus")
	AttributeClass    = temporal.NewSearchAttributeKeyKeyword("OmniboxErrorClass")
)

// Attributes are the names of all search attributes; all are keywords.
func Attributes() []string {
	var names []string
	for _, key := range []temporal.SearchAttributeKeyKeyword{AttributePipeline, AttributeTopic, AttributeKey, AttributeStatus, AttributeClass} {
		names = append(names, key.GetName())
	}
	return names
}

// Values of AttributeStatus. A workflow that has closed needs none: its execution
// status tells.
const (
	StatusDelivering = "delivering"
	StatusRetrying   = "retrying"
	StatusParked     = "parked"
)

// EventAttributes are those that an event's workflow starts with; none where the
// namespace does not have them.
func EventAttributes(in EventInput) temporal.SearchAttributes {
	if !in.Plan.Attributes {
		return temporal.SearchAttributes{}
	}
	updates := []temporal.SearchAttributeUpdate{
		AttributePipeline.ValueSet(in.Pipeline),
		AttributeTopic.ValueSet(in.Turn.Topic),
		AttributeKey.ValueSet(in.Turn.Key),
		AttributeStatus.ValueSet(statusOf(in.Found)),
	}
	if in.Found.Class != "" {
		updates = append(updates, AttributeClass.ValueSet(string(in.Found.Class)))
	}
	return temporal.NewSearchAttributes(updates...)
}

func statusOf(took Took) string {
	if took.Verdict == omnibox.Retry {
		return StatusRetrying
	}
	if took.Verdict == omnibox.Dead {
		return StatusParked
	}
	return StatusDelivering
}

// upsert tells the search attributes of a failure.
func upsert(ctx workflow.Context, plan activities.Plan, status string, class omnibox.Class) error {
	if !plan.Attributes {
		return nil
	}
	return workflow.UpsertTypedSearchAttributes(ctx, AttributeStatus.ValueSet(status), AttributeClass.ValueSet(string(class)))
}
