package broker

import (
	"fmt"
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
	messageID, eventID, eventType, source, sourceService known
	schemaVersion, traceID, correlationID, causationID   known
	contentType                                          known

	rest map[string]string
}

// known is a header with a meaning.
type known struct {
	value string
	set   bool
}

// gather sorts headers. The last one of a name counts; one without a value is
// none.
func gather(headers []Header) headerSet {
	var h headerSet
	for _, header := range headers {
		if header.Value == nil {
			continue
		}
		if k := h.known(header.Key); k != nil {
			*k = known{string(header.Value), true}
			continue
		}
		h.keep(header.Key, string(header.Value), len(headers))
	}
	// One that another one has taken the field of is among the rest.
	if h.messageID.set && h.eventID.set {
		h.keep(eventID, h.eventID.value, 1)
	}
	if h.source.set && h.sourceService.set {
		h.keep(sourceService, h.sourceService.value, 1)
	}
	return h
}

func (h *headerSet) keep(key, value string, size int) {
	if h.rest == nil {
		h.rest = make(map[string]string, size)
	}
	h.rest[key] = value
}

// known is where a header with a meaning goes; nil for any other.
func (h *headerSet) known(key string) *known {
	switch key {
	case messageID:
		return &h.messageID
	case eventID:
		return &h.eventID
	case eventType:
		return &h.eventType
	case source:
		return &h.source
	case sourceService:
		return &h.sourceService
	case schemaVersion:
		return &h.schemaVersion
	case traceID:
		return &h.traceID
	case correlationID:
		return &h.correlationID
	case causationID:
		return &h.causationID
	}
	if strings.EqualFold(key, contentTypeHeader) {
		return &h.contentType
	}
	return nil
}

// blank finds a header that should say something and does not.
func (h *headerSet) blank() error {
	for _, key := range [...]string{
		messageID, eventID, eventType, source, sourceService, schemaVersion, traceID, correlationID, causationID, contentTypeHeader,
	} {
		if k := h.known(key); k.set && strings.TrimSpace(k.value) == "" {
			return fmt.Errorf("header %s is blank", key)
		}
	}
	return nil
}

// value of any header.
func (h *headerSet) value(key string) string {
	if k := h.known(key); k != nil {
		return k.value
	}
	return h.rest[key]
}
