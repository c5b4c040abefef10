package inbox

import "github.com/omnibox-go/omnibox"

// StaleError completes a message as one that came too late.
type StaleError struct{ Reason string }

func (e *StaleError) Error() string { return "stale: " + e.Reason }

// Unwrap gives what it means to a pipeline: a skip.
func (e *StaleError) Unwrap() error { return &omnibox.SkipError{Reason: e.Error()} }

// Stale asks for the message to be completed without effect, because what it
// says is older than what is known. It is an omnibox.Skip that can be told from
// others, by errors.AsType[*StaleError].
func Stale(reason string) error { return &StaleError{Reason: reason} }
