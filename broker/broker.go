// Package broker is what omnibox asks of a message broker: a publisher of
// records and a consumer of messages with their promises, the converters from
// events to records, and the reader from messages to events. Adapters are in
// folders beside it; each passes the suites in brokertest.
package broker

import "context"

// Header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Record is one message to a broker.
type Record struct {
	Topic   string
	Key     []byte
	Value   []byte
	Headers []Header
}

// Publisher sends records. It is safe for concurrent use by several goroutines
// as long as no two calls at a time carry records of the same topic and key.
type Publisher interface {
	// Publish sends records and returns one error for each, in their order;
	// nil means that the broker has acknowledged the record as durable.
	//
	// It guarantees, for the records of one topic and key within a call:
	// acknowledged ones form a prefix, were appended in order, and once one
	// fails no later one is sent: those get omnibox.ErrNotSent. The other
	// errors carry an omnibox.Class:
	// permanent only if the record itself is at fault and was refused alone;
	// unreachable if the broker could not be asked or did not answer, so that
	// the record may or may not have arrived.
	//
	// It retries what is retriable until ctx ends, and sends nothing after
	// its deadline. It blocks until every record is decided.
	Publish(ctx context.Context, records []Record) []error
	// Probe returns nil if the broker answers. It sends no record.
	Probe(ctx context.Context) error
	// Close waits for calls under way and gives up the connections.
	Close() error
}
