package store

import (
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// ReadForTest is the statement that reads what is due, and its arguments, as
// the first read of a claim sends it.
func (s *Store) ReadForTest(slots []int, perSlot, n int) (string, pgx.StrictNamedArgs) {
	from := start{perSlot: perSlot}
	for _, slot := range slots {
		from.slots = append(from.slots, int64(slot))
		from.after = append(from.after, math.MinInt64)
		from.afterAt = append(from.afterAt, time.Time{})
		from.afterAtSeq = append(from.afterAtSeq, 0)
	}
	return s.sql["read_due"], pgx.StrictNamedArgs(s.readArgs(from, n))
}

// StatementsForTest are all statements by name.
func (s *Store) StatementsForTest() map[string]string { return s.sql }

// ByIndexForTest is what fetches and settles run under.
const ByIndexForTest = byIndex

// SweepForTest makes the next look for holds that are over due.
func (s *Store) SweepForTest() { s.swept.Store(nil) }

// FreeChunkForTest is how many rows one transaction sets free.
const FreeChunkForTest = freeChunk

// CollectForTest reads rows as a fetch does; waits tells of each whether it is
// passed over.
func CollectForTest(rows pgx.Rows) (events []omnibox.Event, waits []bool, err error) {
	p, err := new(Store).collect(rows, 1)
	for _, r := range p.rows {
		events, waits = append(events, r.Event), append(waits, r.state != rowTaken)
	}
	return events, waits, err
}
