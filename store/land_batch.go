package store

import (
	"cmp"
	"encoding/json"
	"iter"
	"time"

	"github.com/omnibox-go/omnibox"
)

// batches cuts messages into statements that the server can hold in memory.
func batches(events []*omnibox.Event) iter.Seq[[]*omnibox.Event] {
	return func(yield func([]*omnibox.Event) bool) {
		for len(events) > 0 {
			n, size := 0, 0
			for n < len(events) {
				size += wireSize(events[n]) + len(events[n].Origin.RawHeaders)
				if n > 0 && size > maxStatement {
					break
				}
				n++
			}
			if !yield(events[:n]) {
				return
			}
			events = events[n:]
		}
	}
}

// messages are the columns of messages to land.
type messages struct {
	ids                                                     uuids
	messageIDs, sources, topics, keys, types                []string
	payloads, headers, rawHeaders                           []string
	contentTypes, versions, traces, correlations, causation []string
	rawKeys, bodies                                         [][]byte
	partitions, attempts                                    []int32
	offsets                                                 []int64
	occurred                                                []*time.Time
	errors                                                  []string
	deadIDs                                                 uuids
	fingerprints                                            []string
}

// landing are messages as the arguments of land.sql. What is empty is null there.
func landing(events []*omnibox.Event) named {
	var m messages
	for _, e := range events {
		m.add(e)
	}
	return named{
		"ids": m.ids.literal(), "message_ids": m.messageIDs, "sources": m.sources, "topics": m.topics, "keys": m.keys,
		"raw_keys": m.rawKeys, "partitions": m.partitions, "offsets": m.offsets, "occurred_ats": m.occurred,
		"types": m.types, "payloads": m.payloads, "bodies": m.bodies, "content_types": m.contentTypes, "headers": m.headers,
		"raw_headers": m.rawHeaders, "schema_versions": m.versions, "trace_ids": m.traces, "correlation_ids": m.correlations,
		"causation_ids": m.causation, "max_attempts": m.attempts, "errors": m.errors,
		"dead_ids": m.deadIDs.literal(), "fingerprints": m.fingerprints,
	}
}

func (m *messages) add(e *omnibox.Event) {
	o := e.Origin
	id := newID(e)
	m.ids = append(m.ids, id)
	m.messageIDs, m.sources = append(m.messageIDs, o.MessageID), append(m.sources, o.Source)
	m.topics, m.keys, m.types = append(m.topics, e.Topic), append(m.keys, e.Key), append(m.types, e.Type)
	m.rawKeys = append(m.rawKeys, rawKey(e))
	m.partitions, m.offsets = append(m.partitions, o.Partition), append(m.offsets, o.Offset)
	m.occurred = append(m.occurred, optionalTime(o.OccurredAt))
	m.versions, m.traces = append(m.versions, e.SchemaVersion), append(m.traces, e.TraceID)
	m.correlations, m.causation = append(m.correlations, e.CorrelationID), append(m.causation, e.CausationID)
	m.attempts = append(m.attempts, int32(cmp.Or(e.MaxAttempts, omnibox.DefaultMaxAttempts)))
	headers, rawHeaders, reason := "", "", ""
	if len(e.Headers) > 0 {
		headers = string(marshal(e.Headers))
	}
	if o.Unreadable != "" {
		reason = LastError(o.Unreadable)
		rawHeaders = cmp.Or(string(o.RawHeaders), "[]") // what tells such a row for ever
		m.deadIDs = append(m.deadIDs, id)
		m.fingerprints = append(m.fingerprints, fingerprint(omnibox.ClassPermanent, reason))
	}
	m.headers, m.rawHeaders, m.errors = append(m.headers, headers), append(m.rawHeaders, rawHeaders), append(m.errors, reason)
	payload, body, contentType := content(e)
	m.payloads, m.bodies, m.contentTypes = append(m.payloads, payload), append(m.bodies, body), append(m.contentTypes, contentType)
}

// content is what the columns payload, body and content_type hold. Beside a body,
// and of a message without a value, the payload is an object that omni-box can
// read.
func content(e *omnibox.Event) (payload string, body []byte, contentType string) {
	if raw, ok := e.Payload.(json.RawMessage); ok && e.Body == nil {
		return string(raw), nil, ""
	}
	contentType = cmp.Or(e.ContentType, unknownContent)
	return string(marshal(map[string]string{"content_type": contentType})), e.Body, contentType
}

// unknownContent is the content type of a body that has none.
const unknownContent = "application/octet-stream"

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
