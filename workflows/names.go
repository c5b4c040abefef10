package workflows

// Names under which workflows, signals and queries are registered. They are
// part of what runs: changing one leaves running workflows behind.
const (
	PollerWorkflow = "omnibox.Poller"

	SignalPause  = "pause"
	SignalResume = "resume"
	QueryStatus  = "status"

	activityFetch     = "Fetch"
	activityDrain     = "Drain"
	activitySetPaused = "SetPaused"
)
