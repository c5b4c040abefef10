package omnibox

import (
	"time"

	"github.com/google/uuid"
)

// Event is one message of an outbox or inbox.
//
// A producer fills the first group of fields; the second is set by the store
// when a worker reads the row and is ignored on Enqueue.
type Event struct {
	// ID identifies the event everywhere; a UUIDv4. Defaults to a new one.
	ID uuid.UUID
	// Topic is the destination. Required.
	Topic string
	// Key orders: events of one (Topic, Key) are delivered in order. Required.
	Key string
	// Type names what happened, such as "order.placed". Required.
	Type string
	// Aggregate is the entity the event is about. Required in an outbox.
	Aggregate Aggregate
	// Payload is the JSON body: any value that encodes to a non-empty JSON
	// object. A json.RawMessage is taken as it is. Of an event that was read
	// it always is a json.RawMessage, compact, with numbers as written.
	Payload any
	// Body is a payload that is not JSON; it needs a ContentType and excludes
	// Payload.
	Body []byte
	// ContentType of Body, for example "application/x-protobuf".
	ContentType string
	// Headers are sent with the message.
	Headers map[string]string
	// SchemaVersion of the payload, such as "1.0.0".
	SchemaVersion string
	TraceID       string
	CorrelationID string
	CausationID   string
	// IdempotencyKey makes a second Enqueue with the same key a no-op. It is
	// unique in the whole table and for as long as the row exists.
	IdempotencyKey string
	// ScheduledAt is the earliest time of delivery, at most 365 days ahead.
	// Defaults to now.
	ScheduledAt time.Time
	// MaxAttempts is how many counted failures make the event dead.
	// Defaults to DefaultMaxAttempts.
	MaxAttempts int

	// Origin is where a message of an inbox came from; nil in an outbox.
	Origin *Origin

	// CreatedAt is when the row was written. Together with ID it refers to
	// the row, since a partitioned table needs both.
	CreatedAt time.Time
	// Seq is the order within the key, assigned by the database.
	Seq int64
	// Attempts counts the failures that were the event's own.
	Attempts int
	// Fetches counts deliveries begun while the event was under suspicion of
	// killing its worker; it is 0 for every other event.
	Fetches int
	// Replays counts how often a person has put the event back.
	Replays int
	// Suspect says that the last owner of the event's slot did not finish:
	// the event may have been what ended it.
	Suspect bool
	// HoldsKey says that a hold of this event keeps its key waiting.
	HoldsKey bool
	// Fence proves the right to settle the event.
	Fence Fence
	// Final says that the event was completed in the transaction of its handler: to
	// settle it as completed writes nothing.
	Final bool
	// Escalated says, once a failure is settled, that a workflow of the event's
	// own is to be started: it has the row's lease, with Fence, or waits for what
	// a person decides of a dead event.
	Escalated bool
}

// Aggregate is the entity that an event is about.
type Aggregate struct {
	Type string
	ID   uuid.UUID
}

// Origin is where a message of an inbox came from.
type Origin struct {
	// MessageID as its producer gave it. Together with the consumer group it is
	// what deduplicates.
	MessageID string
	// Source is who sent it: the producing service, or the topic if that is not
	// told.
	Source string
	// Partition and Offset of the topic where it was in the broker.
	Partition int32
	Offset    int64
	// Key as it came; nil if the message has none. Event.Key is what orders it.
	Key []byte
	// OccurredAt is the time that the broker has for the message; zero if it has none,
	// or one that no calendar has.
	OccurredAt time.Time
	// Unreadable says, without quoting it, why no event could be made of the
	// message; empty if one could. Then Body is its value, as it came.
	Unreadable string
	// RawHeaders of an unreadable message: a JSON array of {"key", "value"}, in
	// their order, with values in base64.
	RawHeaders []byte
}

// Ref refers to a row.
type Ref struct {
	ID        uuid.UUID
	CreatedAt time.Time
}

// Ref refers to the event's row.
func (e *Event) Ref() Ref { return Ref{ID: e.ID, CreatedAt: e.CreatedAt} }

// OrderKey is what an event is ordered by.
type OrderKey struct {
	Topic, Key string
}

// OrderKey is what the event is ordered by: its topic and key.
func (e *Event) OrderKey() OrderKey { return OrderKey{Topic: e.Topic, Key: e.Key} }

// Fence is the lease under which an event was fetched. A write-back with a
// stale fence changes nothing and yields ErrLeaseLost.
type Fence struct {
	// Slot is the hash slot of the event's topic and key, 0 to Slots-1.
	Slot int
	// Token is that of the slot's lease or, where rows themselves are leased,
	// of the row's.
	Token int64
}
