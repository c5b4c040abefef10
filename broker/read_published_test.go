package broker_test

import (
	"cmp"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

// asRead is what comes of a record at the other end.
func asRead(r broker.Record) broker.Message {
	return broker.Message{Topic: r.Topic, Partition: 3, Offset: 42, Key: r.Key, Value: r.Value, Headers: r.Headers}
}

// requireSame compares an event that was published with the one that was read.
func requireSame(t require.TestingT, converter broker.Converter, published, read *omnibox.Event) {
	require.Empty(t, read.Origin.Unreadable)
	want, got := *published, *read
	require.Equal(t, want.ID.String(), got.Origin.MessageID)
	if _, ok := converter.(broker.Envelope); ok && want.Body == nil {
		if want.SchemaVersion == "" {
			want.SchemaVersion = broker.DefaultSchemaVersion
		}
	} else {
		want.Aggregate = omnibox.Aggregate{}
	}
	// What is not sent, and what is the reader's.
	want.CreatedAt, want.IdempotencyKey, want.MaxAttempts, want.ScheduledAt = got.CreatedAt, "", 0, got.ScheduledAt
	want.ID, want.Origin = got.ID, got.Origin
	want.Headers = maps.Clone(want.Headers)
	for _, key := range []string{"event_id", "event_type", "schema_version", "trace_id", "correlation_id", "causation_id", "content-type"} {
		delete(want.Headers, key)
	}
	if len(want.Headers) == 0 {
		want.Headers = nil
	}
	require.Equal(t, want, got)
}

var converters = []broker.Converter{broker.Raw{}, broker.SchemaVersioned{}, broker.Envelope{}}

func TestReadOfWhatOmniBoxSends(t *testing.T) {
	t.Parallel()
	for _, v := range omniBoxVectors(t) {
		for i, m := range []message{v.Raw, v.SchemaVersioned, v.Envelope} {
			e := reader(t, broker.ReaderConfig{Strict: true}).Read(m.asRead())
			if strings.Contains(v.Event.Payload, `\u0000`) {
				require.Contains(t, e.Origin.Unreadable, `\u0000`)
				continue
			}
			want := v.event()
			// A header of the producer's own stands for a field that is empty.
			want.SchemaVersion = cmp.Or(want.SchemaVersion, want.Headers["schema_version"])
			requireSame(t, converters[i], want, e)
		}
	}
}

func (m message) asRead() broker.Message {
	out := broker.Message{Topic: m.Topic, Key: []byte(m.Key), Value: []byte(m.Value)}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, broker.Header{Key: h[0], Value: []byte(h[1])})
	}
	return out
}

// What is published is read as it was, by whatever converter.
func TestReadOfWhatWePublish(t *testing.T) {
	t.Parallel()
	r := reader(t, broker.ReaderConfig{Strict: true})
	rapid.Check(t, func(t *rapid.T) {
		optional := func(name string, most int) string { return words(most).Draw(t, name) }
		required := func(name string, most int) string { return "x" + optional(name, most-1) }
		e := omnibox.Event{
			Topic: "orders", Key: required("key", omnibox.MaxKey), Type: required("type", omnibox.MaxType),
			Aggregate:     omnibox.Aggregate{Type: required("aggregate", omnibox.MaxAggregateType), ID: uuid.New()},
			SchemaVersion: optional("version", omnibox.MaxSchemaVersion), TraceID: optional("trace", omnibox.MaxTraceID),
			CorrelationID: optional("correlation", omnibox.MaxCorrelationID), CausationID: optional("causation", omnibox.MaxCausationID),
			Headers: make(map[string]string),
		}
		for i := range rapid.IntRange(0, 100).Draw(t, "headers") {
			e.Headers[strconv.Itoa(i)+"-"+optional("name", 60)] = required("header", 512) // 1 and "0a" would be 10 and "a"
		}
		if rapid.Bool().Draw(t, "binary") {
			e.Body, e.ContentType = rapid.SliceOf(rapid.Byte()).Draw(t, "body"), "application/avro"
		} else {
			e.Payload = value(t, 3).(map[string]any)
		}
		prepared, err := omnibox.Prepare(e)
		require.NoError(t, err)
		for _, name := range []string{"message_id", "source", "source_service"} {
			delete(prepared[0].Headers, name) // these are for the reader
		}
		for _, c := range converters {
			record, err := c.Convert(&prepared[0])
			require.NoError(t, err)
			published := prepared[0]
			if c == (broker.Raw{}) && looksVersioned(&published) {
				continue
			}
			requireSame(t, c, &published, r.Read(asRead(record)))
		}
	})
}

// looksVersioned says that the payload itself has the shape of what
// SchemaVersioned sends, of which nothing tells it apart: a producer of such
// payloads needs EnvelopeNever.
func looksVersioned(e *omnibox.Event) bool {
	raw, _ := e.Payload.(json.RawMessage)
	var members map[string]any
	if json.Unmarshal(raw, &members) != nil || len(members) != 2 {
		return false
	}
	_, object := members["payload"].(map[string]any)
	version, versioned := members["schema_version"]
	return object && versioned && (version == nil || version == e.SchemaVersion)
}

// words of at most some characters, without blanks around them.
func words(most int) *rapid.Generator[string] {
	return rapid.Map(rapid.StringOfN(rapid.RuneFrom([]rune("a_é漢😀<>&\"\\\u2028 "), unicode.Letter, unicode.Digit), 0, most, -1), strings.TrimSpace)
}

// value of JSON, at the top an object.
func value(t *rapid.T, depth int) any {
	names := rapid.OneOf(words(20), rapid.SampledFrom([]string{"payload", "schema_version", "event_type", "a"}))
	kinds := 5
	if depth == 0 {
		kinds = 3
	}
	kind := rapid.IntRange(0, kinds-1).Draw(t, "kind")
	if depth == 3 {
		kind = 4
	}
	switch kind {
	case 0:
		return words(50).Draw(t, "string") + rapid.SampledFrom([]string{"", "\n\x01\t", " "}).Draw(t, "end")
	case 1:
		return json.Number(rapid.StringMatching(`-?[1-9][0-9]{0,30}(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number"))
	case 2:
		return rapid.SampledFrom([]any{nil, true, false}).Draw(t, "constant")
	case 3:
		list := make([]any, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range list {
			list[i] = value(t, depth-1)
		}
		return list
	default:
		object := make(map[string]any)
		for range rapid.IntRange(depth/3, 4).Draw(t, "members") {
			object[names.Draw(t, "name")] = value(t, depth-1)
		}
		return object
	}
}
