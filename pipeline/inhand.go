package pipeline

import (
	"sync"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
)

// inHand knows the events of a claim that were read and are not settled yet,
// and the keys that wait because an event of theirs did not succeed. Reading,
// handling and settling overlap, so it answers three questions.
//
// Is an event in hand already? A read that scans from the start sees rows that
// another stage still works on:
//
//  1. a read begins; its snapshot shows row A pending
//  2. the settler commits A and takes it out
//  3. the read returns A: it must not be handled again
//
// So what is taken out is forgotten only when a read begins after that.
//
// May it be handled? When an event fails, later ones of its key are in the same
// batch or were read ahead, and reading goes on behind them. All are given back
// untried until a scan from the start brings them again, in order.
//
// May a scan begin? One that began too early would let events overtake those
// that it passes over because they are in hand:
//
//  1. event 1 of a key is dead; 2 is released with it, 3 is in the next batch
//  2. a scan finds 2, not 3, which is in hand until its release is settled, and 4
//  3. 2 and 4 are handled, and 3 by a later scan
//
// So while a key waits, a scan begins only when nothing is in hand. That is at
// most the work of three batches, and the keys are free again.
type inHand struct {
	mu      sync.Mutex
	events  map[uuid.UUID]struct{}
	out     []uuid.UUID // taken out since the last read began
	waiting map[omnibox.OrderKey]struct{}
}

func newInHand() *inHand {
	return &inHand{events: map[uuid.UUID]struct{}{}, waiting: map[omnibox.OrderKey]struct{}{}}
}

// beginRead must be called before the read's snapshot is taken. It returns
// whether nothing is in hand.
func (h *inHand) beginRead() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range h.out {
		delete(h.events, id)
	}
	h.out = h.out[:0]
	return len(h.events) == 0
}

// beginScan sets the keys that wait free, if it returns true; else it is too
// early.
func (h *inHand) beginScan() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) > 0 && len(h.events) > len(h.out) {
		return false
	}
	clear(h.waiting)
	return true
}

// take keeps those of events that are not in hand, and puts them there.
func (h *inHand) take(events []omnibox.Event) []*omnibox.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	taken := make([]*omnibox.Event, 0, len(events))
	for i := range events {
		e := &events[i]
		if _, dup := h.events[e.ID]; dup {
			continue
		}
		h.events[e.ID] = struct{}{}
		taken = append(taken, e)
	}
	return taken
}

// free are those of events, in their order, whose key does not wait.
func (h *inHand) free(events []*omnibox.Event) []*omnibox.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) == 0 {
		return events
	}
	free := make([]*omnibox.Event, 0, len(events))
	for _, e := range events {
		if _, waits := h.waiting[e.OrderKey()]; !waits {
			free = append(free, e)
		}
	}
	return free
}

// blocksKey says whether an outcome keeps what was read behind it from being
// handled. An event that was merely released does so too: it must come first.
func blocksKey(o omnibox.Outcome) bool {
	return o.Verdict != omnibox.Completed && o.Verdict != omnibox.Skipped
}

// decided notes the keys of outcomes that did not succeed; it must be called
// before the next events are handled.
func (h *inHand) decided(outcomes []omnibox.Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range outcomes {
		if blocksKey(o) {
			h.waiting[o.Event.OrderKey()] = struct{}{}
		}
	}
}

// settled takes events out whose outcome is in the database. It reports
// whether a scan from the start is worthwhile.
func (h *inHand) settled(outcomes []omnibox.Outcome) (again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range outcomes {
		h.out = append(h.out, o.Event.ID)
		again = again || o.Event.HoldsKey
	}
	return again || len(h.waiting) > 0
}
