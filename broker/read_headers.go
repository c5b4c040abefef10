package broker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Headers that say what a field of an event has, or that choose one.
const (
	messageID         = "message_id"
	eventID           = "event_id"
	eventType         = "event_type"
	source            = "source"
	sourceService     = "source_service"
	schemaVersion     = "schema_version"
	traceID           = "trace_id"
	correlationID     = "correlation_id"
	causationID       = "causation_id"
	contentTypeHeader = "content-type"
)

// headerSet is the headers of a message, sorted by what they are for.
type headerSet struct {
	known map[string]string // by the names above
	has   map[string]bool
	rest  map[string]string
}

// gather sorts headers. The last one of a name counts; one without a value is
// none.
func gather(headers []Header) headerSet {
	h := headerSet{known: make(map[string]string, len(headers)), has: make(map[string]bool)}
	for _, header := range headers {
		if header.Value == nil {
			continue
		}
		key := header.Key
		switch key {
		case messageID, eventID, eventType, source, sourceService, schemaVersion, traceID, correlationID, causationID:
		default:
			if strings.EqualFold(key, contentTypeHeader) {
				key = contentTypeHeader
				break
			}
			if h.rest == nil {
				h.rest = make(map[string]string, len(headers))
			}
			h.rest[key] = string(header.Value)
			continue
		}
		h.known[key], h.has[key] = string(header.Value), true
	}
	h.keep(eventID, messageID)
	h.keep(sourceService, source)
	return h
}

// keep leaves a header among the rest if another one took its field.
func (h *headerSet) keep(key, other string) {
	if !h.has[key] || !h.has[other] {
		return
	}
	if h.rest == nil {
		h.rest = make(map[string]string)
	}
	h.rest[key] = h.known[key]
}

// blank finds a header that should say something and does not.
func (h *headerSet) blank() error {
	for _, key := range slices.Sorted(maps.Keys(h.known)) {
		if strings.TrimSpace(h.known[key]) == "" {
			return fmt.Errorf("header %s is blank", key)
		}
	}
	return nil
}

// value of any header.
func (h *headerSet) value(key string) string {
	if h.has[key] {
		return h.known[key]
	}
	return h.rest[key]
}
