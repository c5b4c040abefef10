package pipeline

import (
	"maps"
	"slices"
	"sync"
	"time"

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
//
// A key whose part of the destination cannot be reached is avoided: it stays
// behind for longer, over many scans, and as a whole. Its time ends only where a
// scan begins, when nothing is in hand, for the same reason.
type inHand struct {
	mu      sync.Mutex
	events  map[uuid.UUID]struct{}
	out     []uuid.UUID // taken out since the last read began
	waiting map[omnibox.OrderKey]struct{}
	avoided map[omnibox.OrderKey]time.Time // until when
	early   bool                           // a scan is to begin when nothing is in hand
}

func newInHand() *inHand {
	return &inHand{events: map[uuid.UUID]struct{}{}, waiting: map[omnibox.OrderKey]struct{}{}, avoided: map[omnibox.OrderKey]time.Time{}}
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

// beginScan sets the keys free that wait, if it returns true; else it is too
// early. If the last scan came to its end, so that all others had their turn, it
// also sets those free that were avoided for long enough.
func (h *inHand) beginScan(ended bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	over := func(_ omnibox.OrderKey, until time.Time) bool { return ended && !now.Before(until) }
	frees := len(h.waiting) > 0
	for key, until := range h.avoided {
		frees = frees || over(key, until)
	}
	if h.early = frees && len(h.events) > len(h.out); h.early {
		return false
	}
	clear(h.waiting)
	maps.DeleteFunc(h.avoided, over)
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

// free are those of events, in their order, whose key neither waits nor is
// avoided.
func (h *inHand) free(events []*omnibox.Event) []*omnibox.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting)+len(h.avoided) == 0 {
		return events
	}
	free := make([]*omnibox.Event, 0, len(events))
	for _, e := range events {
		_, waits := h.waiting[e.OrderKey()]
		if _, avoided := h.avoided[e.OrderKey()]; !waits && !avoided {
			free = append(free, e)
		}
	}
	return free
}

// avoid leaves keys out until the first scan after that time.
func (h *inHand) avoid(keys []omnibox.OrderKey, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range keys {
		h.avoided[key] = until
	}
}

// avoidsAll tells whether events are of avoided keys alone.
func (h *inHand) avoidsAll(events []*omnibox.Event) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.avoided) > 0 && !slices.ContainsFunc(events, func(e *omnibox.Event) bool {
		_, avoided := h.avoided[e.OrderKey()]
		return !avoided
	})
}

// blocksKey says whether an outcome keeps what was read behind it from being
// handled. An event that was merely released does so too: it must come first.
func blocksKey(o omnibox.Outcome) bool {
	return o.Verdict != omnibox.Completed && o.Verdict != omnibox.Skipped
}

// decided notes the keys of outcomes that did not succeed, but for those that are
// avoided: for them it would be too early to look again. It must be called before
// the next events are handled.
func (h *inHand) decided(outcomes []omnibox.Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range outcomes {
		if _, avoided := h.avoided[o.Event.OrderKey()]; blocksKey(o) && !avoided {
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
		again = again || o.Event.HoldsKey && o.Verdict != omnibox.Released
	}
	return again || h.early || len(h.waiting) > 0
}
