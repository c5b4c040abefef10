package broker

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/omnibox-go/omnibox"
)

// Converter makes the record that is sent for an event. It is safe for
// concurrent use and does not change the event. An error means that no record
// can ever be made of it.
type Converter interface {
	Convert(e *omnibox.Event) (Record, error)
}

// DefaultSchemaVersion is what an Envelope says of an event without a version.
const DefaultSchemaVersion = "1.0.0"

// ErrNoPayload means that the event has neither a payload nor a body.
var ErrNoPayload = errors.New("event has neither a payload nor a body")

// Raw sends the payload as it is.
type Raw struct{}

// SchemaVersioned sends {"schema_version": …, "payload": …}; the version is
// null when the event has none.
type SchemaVersioned struct{}

// Envelope sends the payload among what is known about the event: schema
// version, type, aggregate, time, and the ids that trace it.
type Envelope struct {
	// DefaultVersion stands for a missing schema version. Defaults to
	// DefaultSchemaVersion.
	DefaultVersion string
}

// NewConverter gives the converter of a configuration: raw, schema-versioned
// or envelope.
func NewConverter(name string) (Converter, error) {
	switch name {
	case "raw":
		return Raw{}, nil
	case "schema-versioned":
		return SchemaVersioned{}, nil
	case "envelope":
		return Envelope{}, nil
	}
	return nil, fmt.Errorf("converter %q: want raw, schema-versioned or envelope", name)
}

// Convert makes the record. A body is sent as it is, by every converter.
func (Raw) Convert(e *omnibox.Event) (Record, error) {
	return record(e, func(payload []byte) []byte { return payload })
}

// Convert makes the record. A body is sent as it is, by every converter.
func (SchemaVersioned) Convert(e *omnibox.Event) (Record, error) {
	return record(e, func(payload []byte) []byte {
		b := make([]byte, 0, len(payload)+len(e.SchemaVersion)+40)
		b = append(b, `{"schema_version":`...)
		if e.SchemaVersion == "" {
			b = append(b, "null"...)
		} else {
			b = appendString(b, e.SchemaVersion)
		}
		b = append(b, `,"payload":`...)
		b = append(b, payload...)
		return append(b, '}')
	})
}

// Convert makes the record. A body is sent as it is, by every converter.
func (c Envelope) Convert(e *omnibox.Event) (Record, error) {
	return record(e, func(payload []byte) []byte {
		b := make([]byte, 0, len(payload)+512)
		b = append(b, '{')
		b = appendField(b, "schema_version", cmp.Or(e.SchemaVersion, c.DefaultVersion, DefaultSchemaVersion))
		b = appendField(b, "event_type", e.Type)
		b = appendField(b, "aggregate_type", e.Aggregate.Type)
		b = appendField(b, "aggregate_id", e.Aggregate.ID.String())
		b = append(b, `"payload":`...)
		b = append(b, payload...)
		b = append(b, ',')
		b = appendField(b, "timestamp", isoformat(e.CreatedAt))
		b = appendSet(b, "trace_id", e.TraceID)
		b = appendSet(b, "correlation_id", e.CorrelationID)
		b = appendSet(b, "causation_id", e.CausationID)
		b[len(b)-1] = '}'
		return b
	})
}

// record wraps the value that body makes of the payload.
func record(e *omnibox.Event, body func(payload []byte) []byte) (Record, error) {
	r := Record{Topic: e.Topic, Key: []byte(e.Key), Headers: headers(e)}
	if e.Body != nil {
		r.Value = e.Body
		return r, nil
	}
	payload, err := encodePayload(e.Payload)
	if err != nil {
		return Record{}, fmt.Errorf("encode payload of event %s: %w", e.ID, err)
	}
	r.Value = body(payload)
	return r, nil
}

// headers puts the event's own before what is known about it. The own ones are
// in the order in which Postgres keeps the keys of a jsonb object, so that the
// same row always gives the same bytes; one that has the name of a known one
// keeps its place and loses its value.
func headers(e *omnibox.Event) []Header {
	known := [...]struct{ key, value string }{
		{"event_id", e.ID.String()},
		{"event_type", e.Type},
		{"schema_version", e.SchemaVersion},
		{"trace_id", e.TraceID},
		{"correlation_id", e.CorrelationID},
		{"causation_id", e.CausationID},
		{"content-type", contentType(e)},
	}
	out := make([]Header, 0, len(e.Headers)+len(known))
	for k, v := range e.Headers {
		out = append(out, Header{Key: k, Value: []byte(v)})
	}
	slices.SortFunc(out, func(a, b Header) int {
		return cmp.Or(cmp.Compare(len(a.Key), len(b.Key)), cmp.Compare(a.Key, b.Key))
	})
	own := out
	for _, h := range known {
		if h.value == "" {
			continue
		}
		i := slices.IndexFunc(own, func(o Header) bool { return o.Key == h.key })
		if i >= 0 {
			own[i].Value = []byte(h.value)
			continue
		}
		out = append(out, Header{Key: h.key, Value: []byte(h.value)})
	}
	return out
}

// contentType is sent for bodies alone: a payload is JSON, and omni-box sends
// no such header with it.
func contentType(e *omnibox.Event) string {
	if e.Body == nil {
		return ""
	}
	return e.ContentType
}

// encodePayload gives compact JSON. Raw JSON, which is what every event that
// was read has, is taken as it is.
func encodePayload(payload any) ([]byte, error) {
	switch p := payload.(type) {
	case nil:
		return nil, ErrNoPayload
	case json.RawMessage:
		if len(p) == 0 {
			return nil, ErrNoPayload
		}
		return p, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(payload); err != nil {
		return nil, err
	}
	return unescapeSeparators(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// isoformat is Python's datetime.isoformat of a time in UTC: microseconds, and
// only if there are any.
func isoformat(t time.Time) string {
	t = t.UTC().Truncate(time.Microsecond)
	if t.Nanosecond() == 0 {
		return t.Format("2006-01-02T15:04:05+00:00")
	}
	return t.Format("2006-01-02T15:04:05.000000+00:00")
}
