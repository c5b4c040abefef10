package omnibox

import (
	"context"
	"time"
)

// FetchStrategy hands out due events under leases. The stock strategies are
// those of package store: by slot and by row. It is safe for concurrent use.
type FetchStrategy interface {
	// Claim takes those of slots that are free, without waiting for others.
	// A claim with no slots is not an error. While the pipeline is paused the
	// error is ErrPaused.
	Claim(ctx context.Context, slots []int) (Claim, error)
}

// Claim is the bounded right to the due events of some slots. One goroutine
// may fetch while others extend, mark and read the deadline.
type Claim interface {
	// Slots that this claim holds now.
	Slots() []int
	// Deadline is when the owner must have stopped sending: the end of the
	// lease less a margin, on the owner's monotonic clock, counted from before
	// the lease was asked for.
	Deadline() time.Time
	// Fetch returns at most n due events, those of one key in order of seq,
	// leaving out held keys. It goes on behind the last event it returned: an
	// event comes twice only after Rewind. An event that was committed late,
	// behind the last one, is not overtaken by events of its key that were
	// written after that: those wait for Rewind too. More says that others may be due
	// behind these, so that an idle owner knows when it has reached the end. It
	// takes no lock that outlives it. ErrPaused while the pipeline is paused.
	Fetch(ctx context.Context, n int) (events []Event, more bool, err error)
	// Rewind makes the next Fetch start from the first due event of slots
	// again, of all slots if none is named, so that it sees late commits,
	// released events, and keys set free. It may rewind more than it is asked
	// to. A slot that was read to its end is not read again before that.
	Rewind(slots ...int)
	// Extend makes the lease last its full length from now and takes what has
	// become free of the slots first asked for. Slots that were lost leave the
	// claim; the error is ErrLeaseLost if any was.
	Extend(ctx context.Context) error
	// Mark counts a delivery that is about to begin of events under suspicion
	// (Fetches plus one, in the row and in the event), durably before it
	// returns.
	Mark(ctx context.Context, events []*Event) error
	// Release gives up what the claim holds. Call it when every event that was
	// fetched has been settled or dropped: the slots are left clean.
	Release(ctx context.Context) error
}

// CommitStrategy records the outcomes of events. It receives every event of a
// batch at once, in the order of their fetch. It is safe for concurrent use,
// and may be called again with the same outcomes when it returned an error.
//
// Outcomes of events whose fence is stale change nothing; all others are
// written, and the error is ErrLeaseLost.
type CommitStrategy interface {
	Commit(ctx context.Context, outcomes []Outcome) error
}
