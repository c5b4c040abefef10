package workflows

// Names under which workflows, activities, signals and queries are registered.
// They are part of what runs: changing one leaves running workflows behind.
const (
	PollerWorkflow   = "omnibox.Poller"
	EventWorkflow    = "omnibox.Event"
	ConsumerWorkflow = "omnibox.Consumer"

	SignalPause    = "pause"
	SignalResume   = "resume"
	SignalReplay   = "replay"
	SignalRetryNow = "retry-now"
	SignalDiscard  = "discard"
	QueryStatus    = "status"

	activityFetch      = "Fetch"
	activityGather     = "Gather"
	activityDrain      = "Drain"
	activitySetPaused  = "SetPaused"
	activitySteps      = "Steps"
	activityPublish    = "Publish"
	activityApply      = "Apply"
	activityCommit     = "Commit"
	activityDeadLetter = "DeadLetter"
	activityReplay     = "Replay"
	activityDiscard    = "Discard"
	activityLook       = "Look"
	activityConsume    = "Consume"
)
