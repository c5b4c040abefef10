package broker

import (
	"context"
	"fmt"

	"github.com/omnibox-go/omnibox"
)

// Sink is the end of a pipeline that sends: it converts events and publishes
// them. It is safe for concurrent use as far as its publisher is.
type Sink struct {
	publisher Publisher
	converter Converter
}

// NewSink makes a sink that sends what c makes of events to p.
func NewSink(p Publisher, c Converter) *Sink { return &Sink{publisher: p, converter: c} }

// Handle publishes the events in one call, in their order, and returns one
// error for each; nil means that the broker has it. It blocks until every
// event is decided, at the latest soon after ctx has ended.
//
// An event that cannot be converted is failed for good, one over which the
// converter panics is failed; like after any failure, later events of its topic
// and key get omnibox.ErrNotSent.
func (s *Sink) Handle(ctx context.Context, events []*omnibox.Event) []error {
	errs := make([]error, len(events))
	records := make([]Record, 0, len(events))
	sent := make([]int, 0, len(events)) // the event of each record
	short := false                      // of an error
	var failed map[omnibox.OrderKey]bool
	for i, e := range events {
		if failed[e.OrderKey()] {
			errs[i] = omnibox.ErrNotSent
			continue
		}
		r, err := s.convert(e)
		if err != nil {
			errs[i] = err
			if failed == nil {
				failed = make(map[omnibox.OrderKey]bool)
			}
			failed[e.OrderKey()] = true
			continue
		}
		records = append(records, r)
		sent = append(sent, i)
	}
	if len(records) > 0 {
		acks := s.publisher.Publish(ctx, records)
		for j, i := range sent {
			if j < len(acks) {
				errs[i] = acks[j]
			} else { // no word of it is no acknowledgement
				short, errs[i] = true, omnibox.Transient(fmt.Errorf("publisher returned %d errors for %d records", len(acks), len(records)))
			}
		}
	}
	if failed != nil || short {
		spareFollowers(events, errs)
	}
	return errs
}

// convert makes the record of an event. A panic is that event's failure; what
// was thrown may hold its payload, so its type is all that is told.
func (s *Sink) convert(e *omnibox.Event) (r Record, err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = omnibox.Transient(fmt.Errorf("converter panicked with a %T", thrown))
		}
	}()
	r, err = s.converter.Convert(e)
	return r, omnibox.Permanent(err)
}

// spareFollowers takes the blame from events that failed to convert behind an
// event of their key that could not be sent: their turn has not come yet.
func spareFollowers(events []*omnibox.Event, errs []error) {
	failed := make(map[omnibox.OrderKey]bool)
	for i, e := range events {
		switch key := e.OrderKey(); {
		case failed[key]:
			errs[i] = omnibox.ErrNotSent
		case errs[i] != nil:
			failed[key] = true
		}
	}
}

// Probe returns nil if the broker can be reached.
func (s *Sink) Probe(ctx context.Context) error { return s.publisher.Probe(ctx) }
