package pipeline

import (
	"sync"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
)

// inHand knows the events of a claim that were read and are not settled yet,
// and the keys behind a failed event. Reads, handling and settling overlap, so
// it answers two questions by the number of the read that brought an event:
//
// Is it in hand already? A read that rescans from the start sees rows that
// another stage still works on:
//
//  1. read 7 begins; its snapshot shows row A pending
//  2. the settler commits A and takes it out
//  3. read 7 returns A: it must not be handled again
//
// So what is taken out is forgotten only when a read begins after that.
//
// May it be handled? When an event fails, later ones of its key may have been
// read already, and reads go on until its outcome (and the hold of its key) is
// in the database. Only reads that began after that can be trusted to leave
// them out: all others are dropped for the key and come again.
type inHand struct {
	mu     sync.Mutex
	read   int // number of the read that began last
	events map[uuid.UUID]struct{}
	out    []uuid.UUID // taken out since the last read began
	blocks map[omnibox.OrderKey]*block
}

type block struct {
	open int // failures whose outcome is not committed yet
	last int // reads up to this one are not to be trusted
}

func newInHand() *inHand {
	return &inHand{events: map[uuid.UUID]struct{}{}, blocks: map[omnibox.OrderKey]*block{}}
}

// begin starts a read and gives its number.
func (h *inHand) begin() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.read++
	for _, id := range h.out {
		delete(h.events, id)
	}
	h.out = h.out[:0]
	return h.read
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

// split parts the events of a read into those that may be handled and those
// behind a failed event of their key.
func (h *inHand) split(read int, events []*omnibox.Event) (free, behind []*omnibox.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.blocks) == 0 {
		return events, nil
	}
	for k, b := range h.blocks {
		if b.open == 0 && b.last < read {
			delete(h.blocks, k)
		}
	}
	for _, e := range events {
		if _, blocked := h.blocks[e.OrderKey()]; blocked {
			behind = append(behind, e)
		} else {
			free = append(free, e)
		}
	}
	return free, behind
}

// blocksKey says whether an outcome keeps what was read behind it from being
// handled. An event that was merely released does so too: it must come first.
func blocksKey(o omnibox.Outcome) bool {
	return o.Verdict != omnibox.Completed && o.Verdict != omnibox.Skipped
}

// decided notes the keys of outcomes that did not succeed; it must be called
// before the next batch is handled.
func (h *inHand) decided(outcomes []omnibox.Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range outcomes {
		if !blocksKey(o) {
			continue
		}
		b := h.blocks[o.Event.OrderKey()]
		if b == nil {
			b = &block{}
			h.blocks[o.Event.OrderKey()] = b
		}
		b.open++
	}
}

// settled takes events out whose outcome is in the database. It reports
// whether any of them makes another look from the start worthwhile.
func (h *inHand) settled(outcomes []omnibox.Outcome) (again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range outcomes {
		h.out = append(h.out, o.Event.ID)
		if blocksKey(o) {
			b := h.blocks[o.Event.OrderKey()]
			b.open--
			b.last = h.read
			again = true
		}
		again = again || o.Event.HoldsKey
	}
	return again
}

// len is how many events are in hand.
func (h *inHand) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.events) - len(h.out)
}
