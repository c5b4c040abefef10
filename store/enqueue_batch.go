package store

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/omnibox-go/omnibox"
)

// maxStatement bounds one insert, in bytes: the server holds a statement in
// memory several times over.
const maxStatement = 64 << 20

// batch is the input of one insert, a text array a column.
type batch struct {
	events []int // indexes of the call's events
	size   int

	ids, topics, keys, aggregateTypes, aggregateIDs, types, payloads, headers textArray
	traces, idempotency, correlations, causations, versions                   textArray
	attempts, scheduled, bodies, contentTypes                                 textArray
}

func newBatch(n int) *batch { return &batch{events: make([]int, 0, n)} }

// fits says whether the event may join; the first always may.
func (b *batch) fits(e *omnibox.Event) bool {
	return len(b.events) == 0 || b.size+wireSize(e) <= maxStatement
}

// wireSize is about what an event takes in a statement.
func wireSize(e *omnibox.Event) int {
	n := 512 + 2*len(e.Body) + len(e.Topic) + len(e.Key)
	if raw, ok := e.Payload.(json.RawMessage); ok {
		n += len(raw) + len(raw)/4 // quotes are escaped
	}
	for k, v := range e.Headers {
		n += len(k) + len(v) + 8
	}
	return n
}

// add takes a prepared event.
func (b *batch) add(index int, e *omnibox.Event) {
	b.events = append(b.events, index)
	b.size += wireSize(e)
	b.ids.add(e.ID.String())
	b.topics.add(e.Topic)
	b.keys.add(e.Key)
	b.aggregateTypes.add(e.Aggregate.Type)
	b.aggregateIDs.add(e.Aggregate.ID.String())
	b.types.add(e.Type)
	b.payloads.add(string(payloadOf(e)))
	if e.Headers == nil {
		b.headers.addNull()
	} else {
		b.headers.add(string(marshal(e.Headers)))
	}
	b.traces.addOptional(e.TraceID)
	b.idempotency.addOptional(e.IdempotencyKey)
	b.correlations.addOptional(e.CorrelationID)
	b.causations.addOptional(e.CausationID)
	b.versions.addOptional(e.SchemaVersion)
	b.attempts.add(strconv.Itoa(e.MaxAttempts))
	if e.ScheduledAt.IsZero() {
		b.scheduled.addNull()
	} else {
		b.scheduled.add(e.ScheduledAt.Format(time.RFC3339Nano))
	}
	if e.Body == nil {
		b.bodies.addNull()
	} else {
		b.bodies.add(`\x` + hex.EncodeToString(e.Body))
	}
	b.contentTypes.addOptional(e.ContentType)
}

func (b *batch) args() named {
	return named{
		"ids": b.ids.String(), "topics": b.topics.String(), "keys": b.keys.String(),
		"aggregate_types": b.aggregateTypes.String(), "aggregate_ids": b.aggregateIDs.String(),
		"types": b.types.String(), "payloads": b.payloads.String(), "headers": b.headers.String(),
		"trace_ids": b.traces.String(), "idempotency_keys": b.idempotency.String(),
		"correlation_ids": b.correlations.String(), "causation_ids": b.causations.String(),
		"schema_versions": b.versions.String(), "max_attempts": b.attempts.String(),
		"scheduled_ats": b.scheduled.String(), "bodies": b.bodies.String(), "content_types": b.contentTypes.String(),
	}
}

// payloadOf is what the column payload holds: of a body only its type, since
// omni-box wants an object with something in it.
func payloadOf(e *omnibox.Event) json.RawMessage {
	if e.Body != nil {
		return marshal(map[string]string{"content_type": e.ContentType})
	}
	raw, _ := e.Payload.(json.RawMessage) // Prepare makes it one
	return raw
}

func marshal(m map[string]string) json.RawMessage {
	raw, _ := json.Marshal(m) // cannot fail for strings
	return raw
}

// textArray builds the text form of an array, such as {"a",NULL}.
type textArray struct{ b strings.Builder }

func (a *textArray) separate() {
	if a.b.Len() == 0 {
		a.b.WriteByte('{')
	} else {
		a.b.WriteByte(',')
	}
}

func (a *textArray) addNull() {
	a.separate()
	a.b.WriteString("NULL")
}

// addOptional adds NULL for the empty string.
func (a *textArray) addOptional(s string) {
	if s == "" {
		a.addNull()
		return
	}
	a.add(s)
}

func (a *textArray) add(s string) {
	a.separate()
	a.b.WriteByte('"')
	for {
		i := strings.IndexAny(s, `"\`)
		if i < 0 {
			break
		}
		a.b.WriteString(s[:i])
		a.b.WriteByte('\\')
		a.b.WriteByte(s[i])
		s = s[i+1:]
	}
	a.b.WriteString(s)
	a.b.WriteByte('"')
}

// String ends the array.
func (a *textArray) String() string {
	if a.b.Len() == 0 {
		return "{}"
	}
	return a.b.String() + "}"
}
