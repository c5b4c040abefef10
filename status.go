package omnibox

// Status is the state of a row.
type Status string

// The states of a row. A row leaves completed or failed by replay alone.
const (
	StatusPending   Status = "pending"
	StatusCompleted Status = "completed"
	StatusFailed    Status = "failed"
)

// Slots is the number of hash slots of a table. A slot is the unit of lease
// and of order; which slot an event has follows from its topic and key and
// never changes.
const Slots = 64

// Verdict is what a pipeline decided about an event.
type Verdict string

// The verdicts.
const (
	// Completed: delivered; the row is final.
	Completed Verdict = "completed"
	// Skipped: final without having been delivered, as a step asked.
	Skipped Verdict = "skipped"
	// Retry: failed; it comes again after Outcome.Delay.
	Retry Verdict = "retry"
	// Dead: given up; a dead letter is written with the row.
	Dead Verdict = "dead"
	// Released: not tried, or of unknown outcome through no fault of its own;
	// due again at once, nothing counted.
	Released Verdict = "released"
)
