package omnibox

import "encoding/json"

// PrepareReceived checks an event that was made of a received message, and
// strips blanks around its strings. The limits are those of Prepare, but of the
// aggregate nothing is required, and Key is left as it is. Of a Payload it takes
// for granted that it is a json.RawMessage with the compact JSON of an object,
// as CompactJSON gives it; one beyond MaxPayloadDepth or MaxPayloadDigits becomes
// the Body, with content type application/json. The error is a *ValidationError with every mistake.
func PrepareReceived(e *Event) error {
	var v validator
	v.required("Topic", &e.Topic, MaxTopic)
	v.required("Type", &e.Type, MaxType)
	v.required("MessageID", &e.Origin.MessageID, MaxMessageID)
	v.required("Source", &e.Origin.Source, MaxSource)
	v.optional("Aggregate.Type", &e.Aggregate.Type, MaxAggregateType)
	v.optional("SchemaVersion", &e.SchemaVersion, MaxSchemaVersion)
	v.optional("TraceID", &e.TraceID, MaxTraceID)
	v.optional("CorrelationID", &e.CorrelationID, MaxCorrelationID)
	v.optional("CausationID", &e.CausationID, MaxCausationID)
	if payload, ok := e.Payload.(json.RawMessage); ok {
		v.received(e, payload)
	} else {
		v.body(e)
	}
	e.Headers = v.headers(e.Headers)
	if len(v.fields) > 0 {
		return &ValidationError{Events: 1, Fields: v.fields}
	}
	return nil
}

// CompactJSON gives JSON without the blanks between its tokens, in new memory.
// Its errors do not quote it.
func CompactJSON(raw []byte) (json.RawMessage, error) { return encode(json.RawMessage(raw)) }
