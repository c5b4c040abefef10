package store

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
)

// cursors is how far a claim has read each of its slots, and what it has passed
// over since it began at the start.
//
// What is passed over, because it waits or is held, keeps its place: later rows
// of its key are passed over too until the next rewind. Otherwise:
//
//  1. event 1 of a key fails and holds it; 2 and 3 are read, found blocked, and
//     marked as held
//  2. event 1 succeeds: its hold goes, 2 and 3 are back, behind the cursor
//  3. event 4 is read: nothing holds the key any more, and it overtakes 2 and 3
type cursors struct {
	mu      sync.Mutex
	slots   map[int]*cursor
	behind  map[omnibox.OrderKey]place // lowest one passed over
	perSlot int
	rewinds int  // tells a read that the cursors it started from are gone
	looked  bool // for rows without a number, once a claim
}

// place of a row that was passed over.
type place struct {
	slot int
	seq  int64
}

// cursor of one slot: of immediate rows by seq, of scheduled ones by due time.
//
// Rows are not committed in the order of their places, so that one may appear
// behind the cursor; what took its place after that must not be read first:
//
//  1. transaction A takes place 1, B takes place 2 and commits
//  2. 2 is read, and the cursor is there
//  3. A commits; C, which writes the key of A, takes place 3 and commits
//  4. 3 is read on from the cursor: it overtakes 1
//
// C got its place after step 2, as everybody has who can have waited for A. So
// reading goes on no further than to the place that was given last before the slot
// was read from its start, also of what is scheduled, and if that read came to the
// end.
type cursor struct {
	after   int64
	upto    int64 // how far it may go on
	at      time.Time
	atSeq   int64
	ahead   map[uuid.UUID]bool // scheduled rows returned from beyond the cursor
	ended   bool               // there was nothing more when it was read
	suspect int                // how many rows to come are under suspicion
}

func newCursors() *cursors {
	return &cursors{slots: map[int]*cursor{}, behind: map[omnibox.OrderKey]place{}}
}

func (c *cursor) rewind() {
	c.after, c.upto, c.at, c.atSeq, c.ahead, c.ended = math.MinInt64, math.MaxInt64, time.Time{}, 0, nil, false
}

// add begins to read a slot, of which the first suspect rows are suspicious.
func (c *cursors) add(slot, suspect int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots[slot] = &cursor{suspect: suspect}
	c.slots[slot].rewind()
	c.rewinds++ // a read that runs must not move the new cursor
}

func (c *cursors) drop(slot int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.slots, slot)
}

// rewind sets cursors back, all if no slot is named.
func (c *cursors) rewind(slots []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	meant := func(slot int) bool { return len(slots) == 0 || slices.Contains(slots, slot) }
	for n, slot := range c.slots {
		if meant(n) {
			slot.rewind()
		}
	}
	maps.DeleteFunc(c.behind, func(_ omnibox.OrderKey, p place) bool { return meant(p.slot) })
	c.rewinds++
}

// start is where a read begins.
type start struct {
	slots       []int64
	after       []int64
	upto        []int64
	afterAt     []time.Time
	afterAtSeq  []int64
	perSlot     int
	unnumbered  bool
	rewindsThen int
}

// begin says where to read the next n rows.
func (c *cursors) begin(n int) start {
	c.mu.Lock()
	defer c.mu.Unlock()
	fair := c.fair(n)
	c.perSlot = min(max(c.perSlot, fair), n)
	from := start{perSlot: c.perSlot, rewindsThen: c.rewinds}
	for _, slot := range slices.Sorted(maps.Keys(c.slots)) {
		at := c.slots[slot]
		if at.ended {
			continue
		}
		from.slots = append(from.slots, int64(slot))
		from.after = append(from.after, at.after)
		from.upto = append(from.upto, at.upto)
		from.afterAt = append(from.afterAt, at.at)
		from.afterAtSeq = append(from.afterAtSeq, at.atSeq)
	}
	return from
}

// fair is a slot's even share of n rows.
func (c *cursors) fair(n int) int {
	slots := max(len(c.slots), 1)
	return (n + slots - 1) / slots
}

// adapt makes the share of a slot fit: larger when a few busy slots did not fill
// a read, smaller again when the read overflowed.
func (c *cursors) adapt(got, n int, full, cut bool) {
	switch {
	case cut:
		c.perSlot = max(c.perSlot/2, c.fair(n))
	case full && got < n:
		c.perSlot = min(2*c.perSlot, n)
	}
}

// passOver keeps the place of a row that is not taken now.
func (c *cursors) passOver(e *omnibox.Event) {
	if old, ok := c.behind[e.OrderKey()]; !ok || e.Seq < old.seq {
		c.behind[e.OrderKey()] = place{slot: e.Fence.Slot, seq: e.Seq}
	}
}

// mustWait tells whether an elder of the row's key was passed over.
func (c *cursors) mustWait(key omnibox.OrderKey, seq int64) bool {
	first, ok := c.behind[key]
	return ok && seq > first.seq
}

// keepPlace passes over a row that was taken and could not be had after all.
func (c *cursors) keepPlace(e *omnibox.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passOver(e)
}

// later compares two places in the order of scheduled rows.
func later(at time.Time, seq int64, than time.Time, thanSeq int64) bool {
	if c := at.Compare(than); c != 0 {
		return c > 0
	}
	return seq > thanSeq
}
