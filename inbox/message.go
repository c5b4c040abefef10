package inbox

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Message is what a handler gets. It is the handler's own: nobody else reads
// or changes it.
type Message[T any] struct {
	Meta
	// Payload in the handler's type, which says how it is read.
	//
	// []byte takes the content as it came, whether it is JSON or not.
	// json.RawMessage takes any JSON. Every other type is decoded by package
	// encoding/json and its rules, leniently: a field that T lacks is ignored,
	// one that the message lacks is left zero, so that producers may add fields
	// without a new version. A number that is read into an any becomes a
	// json.Number and keeps its digits. Content that does not fit is a permanent
	// error, which tells where and why but never quotes it.
	Payload T
}

// Meta is what is known about a message besides its payload.
type Meta struct {
	// ID of the message's row in the inbox.
	ID uuid.UUID
	// MessageID as its producer gave it. Together with the consumer group it is
	// what deduplicates.
	MessageID string
	// Source is who sent it: the producing service, or the topic if that is not
	// told.
	Source string
	// Type names what happened, such as "order.placed".
	Type string
	// SchemaVersion of the payload that the handler gets, which is a later one
	// than that of the message if it was upcast. Empty if the message names none.
	SchemaVersion string
	// Topic, Partition and Offset are where the message was in the broker.
	Topic     string
	Partition int32
	Offset    int64
	// Key by which the messages of a topic are ordered.
	Key string
	// Headers as they came, those with a meaning of their own included.
	Headers map[string]string
	// ContentType of content that is not JSON, else empty.
	ContentType   string
	TraceID       string
	CorrelationID string
	// CausationID is the id of what caused the message. What the message causes
	// itself gets its id by Caused.
	CausationID string
	// OccurredAt is the time that the broker has for the message.
	OccurredAt time.Time
	// CreatedAt is when the message was landed. With ID it refers to the row.
	CreatedAt time.Time
}

// Stored is a message as it lies in the inbox.
type Stored struct {
	Meta
	// Payload is JSON.
	Payload json.RawMessage
	// Body is content that is not JSON; it excludes Payload.
	Body []byte
}
