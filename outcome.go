package omnibox

import "time"

// Outcome is the one decision about one event, as it is written to its row.
type Outcome struct {
	Event   *Event
	Verdict Verdict
	// Class of the failure; empty unless Verdict is Retry or Dead.
	Class Class
	// Error is the failure in words, without any part of the payload and at
	// most MaxErrorBytes long; empty unless Verdict is Retry or Dead.
	Error string
	// Counted says whether the failure was the event's own, so that Attempts
	// is the event's number of attempts plus one.
	Counted bool
	// Attempts is the number of counted failures including this one.
	Attempts int
	// Delay until the event is due again, by the database's clock; for
	// Verdict Retry.
	Delay time.Duration
}
