package store

import (
	"cmp"
	"encoding/json"
	"iter"
	"slices"
	"strings"
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
	ords                                                    []int32 // places in the order of offsets, from 1
	deadIDs                                                 uuids
	deadTopics, deadKeys, deadTypes, deadErrors             []string
	fingerprints                                            []string
}

// landing are messages as the arguments of land.sql, in the order of their ids.
// What is empty is null there.
func landing(events []*omnibox.Event) named {
	order := make([]int32, len(events))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		return strings.Compare(events[a].Origin.MessageID, events[b].Origin.MessageID)
	})
	var m messages
	for _, i := range order {
		m.add(events[i])
		m.ords = append(m.ords, i+1)
	}
	turnTopics, turnPartitions := turns(events)
	sources, source := uniform(m.sources)
	topics, topic := uniform(m.topics)
	attempts, most := uniform(m.attempts)
	return named{
		"turn_topics": turnTopics, "turn_partitions": turnPartitions,
		"source": source, "topic": topic, "most": most, "sources": sources, "topics": topics, "max_attempts": attempts,
		"ids": m.ids.literal(), "message_ids": m.messageIDs, "keys": m.keys,
		"raw_keys": sparse(m.rawKeys), "partitions": m.partitions, "offsets": m.offsets, "occurred_ats": m.occurred,
		"types": m.types, "payloads": m.payloads, "bodies": sparse(m.bodies), "content_types": sparse(m.contentTypes),
		"headers": sparse(m.headers), "raw_headers": sparse(m.rawHeaders), "schema_versions": sparse(m.versions),
		"trace_ids": sparse(m.traces), "correlation_ids": sparse(m.correlations), "causation_ids": sparse(m.causation),
		"errors": sparse(m.errors), "ords": m.ords,
		"dead_ids": m.deadIDs.literal(), "dead_topics": m.deadTopics, "dead_keys": m.deadKeys, "dead_types": m.deadTypes,
		"dead_errors": m.deadErrors, "fingerprints": m.fingerprints,
	}
}

// sparse is a column that is left out if all of it is empty: most messages have
// few of them, and each costs as much as a full one.
func sparse[T string | []byte](column []T) []T {
	if slices.ContainsFunc(column, func(v T) bool { return len(v) > 0 }) {
		return column
	}
	return nil
}

// uniform is a column as what all have, if they have the same.
func uniform[T comparable](column []T) (each []T, all T) {
	if slices.ContainsFunc(column, func(v T) bool { return v != column[0] }) {
		return column, all
	}
	return nil, column[0]
}

// turns are the partitions of messages, which are in order.
func turns(events []*omnibox.Event) (topics []string, partitions []int32) {
	for i, e := range events {
		if last := len(topics) - 1; i == 0 || e.Topic != topics[last] || e.Origin.Partition != partitions[last] {
			topics, partitions = append(topics, e.Topic), append(partitions, e.Origin.Partition)
		}
	}
	return topics, partitions
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
		m.deadTopics, m.deadKeys, m.deadTypes = append(m.deadTopics, e.Topic), append(m.deadKeys, e.Key), append(m.deadTypes, e.Type)
		m.deadErrors = append(m.deadErrors, reason)
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
