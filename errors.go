package omnibox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors for branches.
var (
	// ErrLeaseLost: the lease has passed to another owner; the write changed
	// nothing.
	ErrLeaseLost = errors.New("lease lost to another owner")
	// ErrPaused: a person has paused the pipeline.
	ErrPaused = errors.New("pipeline is paused")
	// ErrNotSent: the event was not tried, because an earlier event of its key
	// failed or the call ended before its turn.
	ErrNotSent = errors.New("not sent")
)

// Class says whose fault a failure is, and so what becomes of the event.
type Class string

// The classes of failure.
const (
	// ClassUnreachable: the destination or the database is down. Not counted;
	// the pipeline waits.
	ClassUnreachable Class = "unreachable"
	// ClassTransient: may succeed when tried again. Counted.
	ClassTransient Class = "transient"
	// ClassPermanent: will never succeed. Counted; dead at once.
	ClassPermanent Class = "permanent"
	// ClassCancelled: shutdown, a lost lease, or not tried. Not counted.
	ClassCancelled Class = "cancelled"
	// ClassPoison: the event ended its worker again and again.
	ClassPoison Class = "poison"
	// ClassFollowed: the event waited behind another of its key that is dead, and
	// behind_failure is follow. It was not tried.
	ClassFollowed Class = "followed"
)

// Error is a failure with a class, and possibly a time for the next attempt.
type Error struct {
	Class Class
	// RetryAt asks for the next attempt at this time, which then is not
	// counted. The zero time leaves both to the retry policy.
	RetryAt time.Time
	Err     error
}

func (e *Error) Error() string {
	if e == nil || e.Err == nil {
		return "failed without saying why"
	}
	return e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Permanent marks err as one that no further attempt can cure. Like the other
// marks it leaves nil as it is: nothing has failed.
func Permanent(err error) error { return marked(ClassPermanent, err) }

// Unreachable marks err as an outage of the destination: no fault of any event.
func Unreachable(err error) error { return marked(ClassUnreachable, err) }

// Transient marks err as worth another, counted attempt. It is what an error
// without a class is taken for.
func Transient(err error) error { return marked(ClassTransient, err) }

func marked(class Class, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Class: class, Err: err}
}

// RetryAt asks for another attempt at t that does not count as a failure.
func RetryAt(t time.Time) error {
	return &Error{Class: ClassTransient, RetryAt: t, Err: fmt.Errorf("retry asked for at %s", t.UTC().Format(time.RFC3339))}
}

// SkipError asks for the event to be completed without being delivered.
type SkipError struct{ Reason string }

func (e *SkipError) Error() string { return "skipped: " + e.Reason }

// Skip asks for the event to be completed without being delivered.
func Skip(reason string) error { return &SkipError{Reason: reason} }

// ClassOf gives the class of err: its own if it carries one of the above,
// ClassCancelled for cancellation, a lost lease and events not sent, else
// ClassTransient.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok && e != nil {
		switch e.Class {
		case ClassUnreachable, ClassTransient, ClassPermanent, ClassCancelled, ClassPoison, ClassFollowed:
			return e.Class
		default: // none, or one that nobody knows: no reason to be dead at once
			return ClassTransient
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrLeaseLost) || errors.Is(err, ErrNotSent) {
		return ClassCancelled
	}
	return ClassTransient
}
