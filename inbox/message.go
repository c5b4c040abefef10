package inbox

import (
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
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
	// Key by which the messages of a topic are ordered: that of the message in
	// the broker. Of a message without one it is the MessageID, and of one whose
	// key is no text, or longer than omnibox.MaxKey, a digest of it.
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
	// OccurredAt is the time that the broker has for the message; zero if it has none,
	// or one that no calendar has.
	OccurredAt time.Time
	// CreatedAt is when the message was landed. With ID it refers to the row.
	CreatedAt time.Time
	// Attempt is which attempt at the message this is: 1 for the first. Runs that
	// do not count as failures, such as one that a shutdown cut off, are not
	// attempts.
	Attempt int
}

// Stored is a message as it lies in the inbox.
type Stored struct {
	Meta
	// Payload is JSON.
	Payload json.RawMessage
	// Body is content that is not JSON; it excludes Payload.
	Body []byte
	// Unreadable says why no event could be made of the message; empty if one
	// could. Only a fallback takes such a message, with Body as it came.
	Unreadable string
}

// storedOf is an event of an inbox as what it is: a message. One that is of no
// inbox is its own origin.
func storedOf(e *omnibox.Event) (*Stored, error) {
	from := e.Origin
	if from == nil {
		from = &omnibox.Origin{MessageID: e.ID.String(), Source: e.Topic}
	}
	m := &Stored{
		Meta: Meta{
			ID: e.ID, MessageID: from.MessageID, Source: from.Source, Type: e.Type, SchemaVersion: e.SchemaVersion,
			Topic: e.Topic, Partition: from.Partition, Offset: from.Offset, Key: e.Key, Headers: e.Headers,
			TraceID: e.TraceID, CorrelationID: e.CorrelationID, CausationID: e.CausationID,
			OccurredAt: from.OccurredAt, CreatedAt: e.CreatedAt, Attempt: e.Attempts + 1,
		},
		Unreadable: from.Unreadable,
	}
	switch {
	case m.Unreadable != "":
		m.ContentType, m.Body = e.ContentType, e.Body
	case e.Body != nil && isJSON(e.ContentType):
		m.Payload = e.Body
	case e.Body != nil:
		m.ContentType, m.Body = e.ContentType, e.Body
	case e.Payload != nil:
		raw, err := rawJSON(e.Payload)
		if err != nil {
			return nil, omnibox.Permanent(err)
		}
		m.Payload = raw
	}
	if m.Unreadable != "" && m.Body == nil {
		m.Body = []byte{} // a message without a value: nothing is all there is
	}
	return m, nil
}

// isJSON tells whether content of a type is JSON, such as "application/json" or
// "application/vnd.shop+json; charset=utf-8".
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// rawJSON gives the payload of an event, which always is JSON already unless a
// step has been by that does not do what steps do. The error does not quote it.
func rawJSON(payload any) (json.RawMessage, error) {
	if raw, ok := payload.(json.RawMessage); ok {
		return raw, nil
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("a payload that cannot be JSON, a %T", payload)
	}
	return raw, nil
}
