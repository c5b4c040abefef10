package memstore

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// message is what deduplicates.
type message struct {
	group, id string
}

// Land writes messages of the store's group to the table; see store.Store.Land. It
// refuses no message.
func (s *Store) Land(ctx context.Context, events []*omnibox.Event) (store.Landed, error) {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	var landed store.Landed
	if err := ctx.Err(); err != nil {
		return landed, err
	}
	for _, e := range t.inOrder(events) {
		key := message{s.cfg.Group, e.Origin.MessageID}
		if _, known := t.messages[key]; known && !t.broken.landsTwice {
			landed.Duplicates++
			continue
		}
		r := t.land(e)
		t.messages[key] = r.ID
		if e.Origin.Unreadable == "" || t.broken.readsAnything {
			landed.New++
			continue
		}
		landed.Unreadable++
		t.bury(r, omnibox.Outcome{Event: &r.Event, Class: omnibox.ClassPermanent, Error: e.Origin.Unreadable, Attempts: 1})
	}
	return landed, nil
}

// inOrder sorts messages by their places in the broker.
func (t *Table) inOrder(events []*omnibox.Event) []*omnibox.Event {
	if t.broken.landsAsGiven {
		return events
	}
	return slices.SortedStableFunc(slices.Values(events), func(a, b *omnibox.Event) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Origin.Partition, b.Origin.Partition),
			cmp.Compare(a.Origin.Offset, b.Origin.Offset))
	})
}

func (t *Table) land(e *omnibox.Event) *row {
	t.seq++
	origin := *e.Origin
	copied := *e
	copied.Origin, copied.Headers, copied.ScheduledAt = &origin, maps.Clone(e.Headers), time.Time{}
	if copied.Payload == nil && copied.ContentType == "" {
		copied.ContentType = "application/octet-stream"
	}
	r := newRow(copied, t.seq, time.Now().Truncate(time.Microsecond))
	if origin.Unreadable != "" && t.broken.losesRaw {
		r.Body = nil
	}
	t.rows = append(t.rows, r)
	return r
}

// Unsettled tells which messages of the group still wait for something; see
// store.Store.Unsettled.
func (s *Store) Unsettled(ctx context.Context, messageIDs []string) (map[string]omnibox.Status, error) {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	unsettled := map[string]omnibox.Status{}
	for _, id := range messageIDs {
		r := t.find(t.messages[message{s.cfg.Group, id}])
		switch {
		case r == nil:
		case r.Status == omnibox.StatusPending && !t.broken.settlesPending,
			r.Status == omnibox.StatusFailed && (t.openLetter(r.ID) != nil || t.broken.unsettlesDiscarded),
			t.broken.unsettlesAll:
			unsettled[id] = r.Status
		}
	}
	return unsettled, ctx.Err()
}

// Full tells whether at least most events are pending.
func (s *Store) Full(ctx context.Context, most int) (bool, error) {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, r := range t.rows {
		if r.Status == omnibox.StatusPending && (!r.held || !t.broken.countsNoHeld) {
			n++
		}
	}
	if t.broken.isFullLate {
		n--
	}
	return n >= most, ctx.Err()
}
