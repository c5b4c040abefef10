package workflows

import (
	"slices"

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

// Values of AttributeStatus. A workflow that has closed keeps its last one.
const (
	StatusDelivering = "delivering"
	StatusRetrying   = "retrying"
	StatusParked     = "parked"
	StatusDead       = "dead" // its workflow has failed, and waits for nobody
)

// EventAttributes are those that an event's workflow starts with. Most events need
// none: they are done before a person could search for them, and an index entry
// costs a tenth of their workflow. One that fails, or whose worker cannot get on
// with it, gets its attributes then.
func EventAttributes(in EventInput) temporal.SearchAttributes {
	lasts := in.Found.Verdict != "" || slices.ContainsFunc(in.Plan.Steps, func(s activities.Step) bool { return s.Long })
	if !lasts {
		return temporal.SearchAttributes{}
	}
	return temporal.NewSearchAttributes(attributes(in, statusOf(in.Found), in.Found.Class)...)
}

// attributes are those of an event in a status; none where the namespace does not
// have them.
func attributes(in EventInput, status string, class omnibox.Class) []temporal.SearchAttributeUpdate {
	if !in.Plan.Attributes {
		return nil
	}
	updates := []temporal.SearchAttributeUpdate{
		AttributePipeline.ValueSet(in.Pipeline),
		AttributeTopic.ValueSet(in.Turn.Topic),
		AttributeKey.ValueSet(in.Turn.Key),
		AttributeStatus.ValueSet(status),
	}
	if class != "" {
		updates = append(updates, AttributeClass.ValueSet(string(class)))
	}
	return updates
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
func (e *event) upsert(ctx workflow.Context, status string, class omnibox.Class) error {
	updates := attributes(e.EventInput, status, class)
	if len(updates) == 0 {
		return nil
	}
	return workflow.UpsertTypedSearchAttributes(ctx, updates...)
}
