package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
)

// jsonType is the content type of JSON that no payload can be.
const jsonType = "application/json"

// content sets Payload or Body, and gives the JSON object that the value is, nil
// if it is none.
func content(e *omnibox.Event, h *headerSet, value []byte) ([]byte, error) {
	if value == nil {
		return nil, errors.New("value is null: a tombstone, which has nothing to handle")
	}
	if t := h.contentType; t.set && !isJSON(t.value) {
		e.Body, e.ContentType = value, t.value
		return nil, nil
	}
	if len(value) == 0 {
		return nil, errors.New("value is empty")
	}
	body, err := omnibox.CompactJSON(value)
	if err != nil {
		if value[0] == 0 && len(value) > 5 {
			return nil, errors.New("value is not JSON, but seems to be in the wire format of a schema registry: " +
				"have its producer name its content type in a header content-type")
		}
		return nil, fmt.Errorf("value %w; what is not JSON needs a header content-type", err)
	}
	setContent(e, body)
	if !isObject(body) {
		return nil, nil
	}
	return body, nil
}

// setContent puts compact JSON where it belongs.
func setContent(e *omnibox.Event, compact json.RawMessage) {
	if isObject(compact) && len(compact) > len("{}") {
		e.Payload, e.Body, e.ContentType = compact, nil, ""
		return
	}
	e.Payload, e.Body, e.ContentType = nil, compact, jsonType
}

func isJSON(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	return t == jsonType || t == "text/json" || strings.HasSuffix(t, "+json")
}

// envelope is what a body says if it is one.
type envelope struct {
	payload []byte
	fields  map[string][]byte // of the names below
	others  bool              // there are other members
}

// unwrap makes the payload of an envelope the event's, and fills in what the
// headers do not say.
func (r *Reader) unwrap(e *omnibox.Event, body []byte) error {
	if r.conf.Envelope == EnvelopeNever {
		return nil
	}
	auto := r.conf.Envelope == EnvelopeAuto
	env := openEnvelope(body, auto)
	if env.payload == nil || auto && !env.ours(e.SchemaVersion) {
		return nil
	}
	setContent(e, env.payload)
	for _, f := range []struct {
		name string
		into *string
	}{
		{schemaVersion, &e.SchemaVersion},
		{traceID, &e.TraceID},
		{correlationID, &e.CorrelationID},
		{causationID, &e.CausationID},
		{"aggregate_type", &e.Aggregate.Type},
	} {
		value := env.fields[f.name]
		if value == nil || *f.into != "" || string(value) == "null" {
			continue
		}
		if !isString(value) {
			return fmt.Errorf("%s of the body is not a string", f.name)
		}
		*f.into = text(value)
	}
	return env.aggregate(e)
}

// openEnvelope looks at the members of a body; if it is to be ours, no further
// than to the first that is not.
func openEnvelope(body []byte, ours bool) envelope {
	var env envelope
	for key, value := range members(body) {
		switch key {
		case "payload":
			env.payload = value
		case schemaVersion, eventType, "aggregate_type", "aggregate_id", "timestamp", traceID, correlationID, causationID:
			if env.fields == nil {
				env.fields = make(map[string][]byte)
			}
			env.fields[key] = value
		default:
			env.others = true
			if ours {
				return env
			}
		}
	}
	return env
}

// ours says that it has the shape that our converters give it, for a message
// whose headers tell a version, or "" if they tell none.
func (env *envelope) ours(version string) bool {
	if env.others || !isObject(env.payload) {
		return false
	}
	for key, value := range env.fields {
		if !isString(value) && (key != schemaVersion || string(value) != "null") {
			return false
		}
	}
	told, versioned := env.fields[schemaVersion]
	if !versioned {
		return false
	}
	if len(env.fields) == 1 { // SchemaVersioned sends the version in a header too, if there is one
		return string(told) == "null" || text(told) == version
	}
	for _, name := range []string{eventType, "aggregate_type", "timestamp"} {
		if env.fields[name] == nil {
			return false
		}
	}
	id := env.fields["aggregate_id"]
	return id != nil && uuid.Validate(text(id)) == nil
}

func (env *envelope) aggregate(e *omnibox.Event) error {
	value := env.fields["aggregate_id"]
	if value == nil || string(value) == "null" {
		return nil
	}
	if isString(value) {
		if id, err := uuid.Parse(text(value)); err == nil {
			e.Aggregate.ID = id
			return nil
		}
	}
	return errors.New("aggregate_id of the body is not a UUID: if the body is no envelope, set envelope: never")
}
