package broker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

// secret must not be in any reason.
const secret = "4929-1234-5678-9012"

func reader(t require.TestingT, conf broker.ReaderConfig) *broker.Reader {
	r, err := broker.NewReader(conf)
	require.NoError(t, err)
	return r
}

// message with headers as "key=value".
func incoming(value string, headers ...string) broker.Message {
	m := broker.Message{Topic: "orders", Partition: 3, Offset: 42, Key: []byte("k"), Value: []byte(value), Time: time.UnixMilli(1_700_000_000_000)}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, "=")
		m.Headers = append(m.Headers, broker.Header{Key: k, Value: []byte(v)})
	}
	return m
}

// brief is an event in few words.
type brief struct {
	ID, Type, Source, Version      string
	Trace, Correlation, Causation  string
	Payload, Body, ContentType, In string
	Headers                        map[string]string
}

func briefly(e *omnibox.Event) brief {
	payload, _ := e.Payload.(json.RawMessage)
	return brief{
		ID: e.Origin.MessageID, Type: e.Type, Source: e.Origin.Source, Version: e.SchemaVersion,
		Trace: e.TraceID, Correlation: e.CorrelationID, Causation: e.CausationID,
		Payload: string(payload), Body: string(e.Body), ContentType: e.ContentType, In: e.Aggregate.Type, Headers: e.Headers,
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	const id = "9c2f3c66-5f0c-4a44-8b42-0c0b5be0a001"
	auto, always, never := broker.ReaderConfig{}, broker.ReaderConfig{Envelope: broker.EnvelopeAlways}, broker.ReaderConfig{Envelope: broker.EnvelopeNever}
	plain := func(b brief) brief {
		if b.ID == "" {
			b.ID = "orders:3:42"
		}
		if b.Type == "" {
			b.Type = "orders"
		}
		if b.Source == "" {
			b.Source = "orders"
		}
		return b
	}
	for _, c := range []struct {
		name string
		conf broker.ReaderConfig
		from broker.Message
		want brief
	}{
		{"nothing but a value", auto, incoming(`{ "a" : 1.50 }`), brief{Payload: `{"a":1.50}`}},
		{"numbers keep their digits", auto, incoming(`{"a":1e22,"b":10000000000000000000001,"c":-0.10}`), brief{Payload: `{"a":1e22,"b":10000000000000000000001,"c":-0.10}`}},
		{
			"all headers", auto, incoming(`{"a":1}`, "message_id=m", "event_id=e", "event_type=t", "source=s", "source_service=ss", "schema_version=2", "trace_id=tr", "correlation_id=co", "causation_id=ca", "x= 1 "),
			brief{ID: "m", Type: "t", Source: "s", Version: "2", Trace: "tr", Correlation: "co", Causation: "ca", Payload: `{"a":1}`, Headers: map[string]string{"x": "1", "event_id": "e", "source_service": "ss"}},
		},
		{"second choices", auto, incoming(`{"event_type":" b "}`, "event_id=e", "source_service=ss"), brief{ID: "e", Type: "b", Source: "ss", Payload: `{"event_type":" b "}`}},
		{"last header counts", auto, incoming(`{"a":1}`, "x=1", "event_id=1", "x=2", "event_id=2"), brief{ID: "2", Payload: `{"a":1}`, Headers: map[string]string{"x": "2"}}},
		{"headers that differ in case from known ones", auto, incoming(`{"a":1}`, "Event_Id=mine", "event_id=e"), brief{ID: "e", Payload: `{"a":1}`, Headers: map[string]string{"Event_Id": "mine"}}},
		{"event type of the body is no string", auto, incoming(`{"event_type":7}`), brief{Payload: `{"event_type":7}`}},
		{"event type of the body is blank", auto, incoming(`{"event_type":" "}`), brief{Payload: `{"event_type":" "}`}},

		{"schema-versioned", auto, incoming(`{"schema_version":"2","payload":{"a":1}}`, "schema_version=2"), brief{Version: "2", Payload: `{"a":1}`}},
		{"schema-versioned without a version", auto, incoming(`{"schema_version":null,"payload":{"a":1}}`), brief{Payload: `{"a":1}`}},
		{"names with escapes", auto, incoming(`{"schema_versi\u006fn":"\u0032","payl\u006fad":{"a":"}\""}}`, "schema_version=2"), brief{Version: "2", Payload: `{"a":"}\""}`}},
		{"always: headers win", always, incoming(`{"schema_version":"2","payload":{"a":1}}`, "schema_version=3"), brief{Version: "3", Payload: `{"a":1}`}},
		{"a raw body with a version that is not the header's", auto, incoming(`{"schema_version":"2","payload":{"a":1}}`, "schema_version=3"), brief{Version: "3", Payload: `{"schema_version":"2","payload":{"a":1}}`}},
		{"a raw body with a version that no header tells", auto, incoming(`{"schema_version":"2","payload":{"a":1}}`), brief{Payload: `{"schema_version":"2","payload":{"a":1}}`}},
		{"a payload and a type and nothing more", auto, incoming(`{"event_type":"t","payload":{"a":1}}`), brief{Type: "t", Payload: `{"event_type":"t","payload":{"a":1}}`}},
		{
			"envelope", auto, incoming(`{"schema_version":"1.0.0","event_type":"t","aggregate_type":"order","aggregate_id":"` + id + `","payload":{"a":1},"timestamp":"x","trace_id":"tr","correlation_id":"co","causation_id":"ca"}`),
			brief{Type: "t", Version: "1.0.0", Trace: "tr", Correlation: "co", Causation: "ca", In: "order", Payload: `{"a":1}`},
		},
		{"a raw body with a field named payload", auto, incoming(`{"payload":{"weight":7},"vehicle":"truck"}`), brief{Payload: `{"payload":{"weight":7},"vehicle":"truck"}`}},
		{"a raw body with nothing but a payload", auto, incoming(`{"payload":{"weight":7}}`), brief{Payload: `{"payload":{"weight":7}}`}},
		{"a payload and a type and more", auto, incoming(`{"event_type":"t","payload":{"a":1},"z":2}`), brief{Type: "t", Payload: `{"event_type":"t","payload":{"a":1},"z":2}`}},
		{"a payload that is no object", auto, incoming(`{"schema_version":"1","payload":[1]}`), brief{Payload: `{"schema_version":"1","payload":[1]}`}},
		{"an aggregate that is no UUID", auto, incoming(`{"event_type":"t","payload":{"a":1},"aggregate_id":"7"}`), brief{Type: "t", Payload: `{"event_type":"t","payload":{"a":1},"aggregate_id":"7"}`}},
		{"a version that is a number", auto, incoming(`{"schema_version":2,"payload":{"a":1}}`), brief{Payload: `{"schema_version":2,"payload":{"a":1}}`}},
		{"always: any payload", always, incoming(`{"z":1,"payload":{"a":1},"trace_id":"tr"}`), brief{Trace: "tr", Payload: `{"a":1}`}},
		{"always: a payload that is no object", always, incoming(`{"payload":[1, 2]}`), brief{Body: `[1,2]`, ContentType: "application/json"}},
		{"always: no payload", always, incoming(`{"a":1,"trace_id":"tr"}`), brief{Payload: `{"a":1,"trace_id":"tr"}`}},
		{"never", never, incoming(`{"schema_version":"2","payload":{"a":1}}`), brief{Payload: `{"schema_version":"2","payload":{"a":1}}`}},
		{"not with a content type", auto, incoming(`{"schema_version":"2","payload":{"a":1}}`, "content-type=application/json"), brief{Payload: `{"schema_version":"2","payload":{"a":1}}`}},
		{"unless always", always, incoming(`{"schema_version":"2","payload":{"a":1}}`, "content-type=application/json"), brief{Version: "2", Payload: `{"a":1}`}},

		{"a body with a content type", auto, incoming("\x00\xff", "content-type=application/x-protobuf"), brief{Body: "\x00\xff", ContentType: "application/x-protobuf"}},
		{"an empty body with a content type", auto, incoming("", "Content-Type=text/plain"), brief{ContentType: "text/plain"}},
		{"JSON by its content type", auto, incoming(`{"a":1}`, "Content-Type=application/vnd.x+JSON; charset=utf-8"), brief{Payload: `{"a":1}`}},
		{"an array", auto, incoming(` [1, "x"] `), brief{Body: `[1,"x"]`, ContentType: "application/json"}},
		{"a string", auto, incoming(`"\u0000"`), brief{Body: `"\u0000"`, ContentType: "application/json"}},
		{"a number", auto, incoming(`1e999999`), brief{Body: `1e999999`, ContentType: "application/json"}},
		{"the value null", auto, incoming(`null`), brief{Body: `null`, ContentType: "application/json"}},
		{"an empty object", auto, incoming(`{}`), brief{Body: `{}`, ContentType: "application/json"}},

		{"id from a header", broker.ReaderConfig{IDHeader: "ce_id"}, incoming(`{"a":1}`, "ce_id=7"), brief{ID: "7", Payload: `{"a":1}`, Headers: map[string]string{"ce_id": "7"}}},
		{"ours before it", broker.ReaderConfig{IDHeader: "ce_id"}, incoming(`{"a":1}`, "ce_id=7", "event_id=8"), brief{ID: "8", Payload: `{"a":1}`, Headers: map[string]string{"ce_id": "7"}}},
		{"id from the body", broker.ReaderConfig{IDPath: "meta.id"}, incoming(`{"id":1,"meta":{"x":{"id":3},"id":"i-\u0031"}}`), brief{ID: "i-1", Payload: `{"id":1,"meta":{"x":{"id":3},"id":"i-\u0031"}}`}},
		{"id that is a number", broker.ReaderConfig{IDPath: "id", Strict: true}, incoming(`{"id":10000000000000000000001,"event_type":"t"}`), brief{ID: "10000000000000000000001", Type: "t", Payload: `{"id":10000000000000000000001,"event_type":"t"}`}},
		{"no id at the path", broker.ReaderConfig{IDPath: "meta.id"}, incoming(`{"meta":{"id":null}}`), brief{Payload: `{"meta":{"id":null}}`}},
		{"path through no object", broker.ReaderConfig{IDPath: "meta.id"}, incoming(`{"meta":7}`), brief{Payload: `{"meta":7}`}},
		{"a strict reader is content", broker.ReaderConfig{Strict: true}, incoming(`{"a":1}`, "event_id=e", "event_type=t"), brief{ID: "e", Type: "t", Payload: `{"a":1}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := reader(t, c.conf).Read(c.from)
			require.Empty(t, e.Origin.Unreadable)
			require.Equal(t, plain(c.want), briefly(e))
			require.Equal(t, "orders", e.Topic)
			require.Equal(t, "k", e.Key)
			require.Equal(t, uuid.Version(4), e.ID.Version())
			require.Equal(t, omnibox.Origin{
				MessageID: e.Origin.MessageID, Source: e.Origin.Source, Partition: 3, Offset: 42, Key: []byte("k"), OccurredAt: c.from.Time,
			}, *e.Origin)
			require.Nil(t, e.Origin.RawHeaders)
			require.Zero(t, e.MaxAttempts)
		})
	}
}

// A producer that counts in another unit sets times that no database can hold.
//
// trap: 27
func TestTimesThatNoCalendarHas(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{{}, time.UnixMilli(1_764_460_800_000_000), time.UnixMilli(1e16), time.UnixMilli(1 << 62), time.Date(0, 6, 1, 0, 0, 0, 0, time.UTC)} {
		for _, value := range []string{`{"a":1}`, "garbage"} {
			m := incoming(value)
			m.Time = at
			e := reader(t, broker.ReaderConfig{}).Read(m)
			require.Zero(t, e.Origin.OccurredAt, at)
		}
	}
}

// trap: 27
func TestReadOfWhatIsUnreadable(t *testing.T) {
	t.Parallel()
	auto, strict := broker.ReaderConfig{}, broker.ReaderConfig{Strict: true, IDHeader: "ce_id", IDPath: "meta.id"}
	object := `{"secret":"` + secret + `"}`
	tombstone := incoming("", "x="+secret)
	tombstone.Value = nil
	many := incoming(object)
	for i := range 101 {
		many.Headers = append(many.Headers, broker.Header{Key: strings.Repeat("x", 1+i%64) + string(rune('a'+i/64)), Value: []byte("1")})
	}
	nul := incoming(object)
	nul.Headers = []broker.Header{{Key: "a\x00\xff", Value: []byte(secret)}, {Key: "none"}}
	for _, c := range []struct {
		name string
		conf broker.ReaderConfig
		from broker.Message
		want string
	}{
		{"null", auto, tombstone, "value is null"},
		{"nothing", auto, incoming(""), "value is empty"},
		{"garbage", auto, incoming("\xff\xfe" + secret), "value is not valid JSON, from byte 1 on; what is not JSON needs a header content-type"},
		{"bad JSON", auto, incoming(`{"secret":"` + secret + `"`), "value is not valid JSON"},
		{"bad JSON by its content type", auto, incoming(`{"secret":"`+secret, "content-type=application/json"), "value is not valid JSON"},
		{"two values", auto, incoming(object + object), "value is not valid JSON"},
		{"wire format of a registry", auto, incoming("\x00\x00\x00\x00\x07\x02" + secret), "wire format of a schema registry"},
		{"NUL in a string", auto, incoming(`{"secret":"` + secret + `\u0000"}`), `Payload has \u0000`},
		{"NUL in a key", auto, incoming(`{"` + secret + `\u0000":1}`), `Payload has \u0000`},
		{"half of a surrogate pair", auto, incoming(`{"secret":"` + secret + `\ud800"}`), "Payload has half of a surrogate pair"},
		{"a number without end", auto, incoming(`{"n":1e999999,"secret":"` + secret + `"}`), "Payload has a number out of range"},
		{"not UTF-8", auto, incoming("{\"secret\":\"" + secret + "\xff\"}"), "Payload is not valid UTF-8"},
		{"too large", auto, incoming(`{"secret":"` + strings.Repeat(secret, 60_000) + `"}`), "Payload has 1140013 bytes, at most 1000000 are allowed"},
		{"a large body", auto, incoming(strings.Repeat(secret, 60_000), "content-type=x/y"), "Body has 1140000 bytes, at most 1000000 are allowed"},
		{"blank id", auto, incoming(object, "event_id= "), "header event_id is blank"},
		{"blank type", auto, incoming(object, "event_type="), "header event_type is blank"},
		{"long id", auto, incoming(object, "message_id="+strings.Repeat(secret, 20)), "MessageID has 380 characters, at most 255 are allowed"},
		{"long id of the body", broker.ReaderConfig{IDPath: "id"}, incoming(`{"id":"` + strings.Repeat(secret, 20) + `"}`), "MessageID has 380 characters"},
		{"id that is none", broker.ReaderConfig{IDPath: "id"}, incoming(`{"id":{"secret":"` + secret + `"}}`), "body has neither a string nor a number at id"},
		{"long type", auto, incoming(object, "event_type="+strings.Repeat(secret, 9)), "Type has 171 characters, at most 100 are allowed"},
		{"long version", auto, incoming(object, "schema_version="+strings.Repeat(secret, 9)), "SchemaVersion has 171 characters, at most 50 are allowed"},
		{"long trace", auto, incoming(object, "trace_id="+strings.Repeat(secret, 9)), "TraceID has 171 characters, at most 64 are allowed"},
		{"long source", auto, incoming(object, "source="+strings.Repeat(secret, 20)), "Source has 380 characters, at most 255 are allowed"},
		{"long content type", auto, incoming(object, "content-type="+strings.Repeat(secret, 20)), "ContentType has 380 characters, at most 255 are allowed"},
		{"type that is not UTF-8", auto, incoming(object, "event_type=\xff"+secret), "Type is not valid UTF-8"},
		{"long header", auto, incoming(object, "x="+strings.Repeat(secret, 30)), `Headers["x"] has 570 characters, at most 512 are allowed`},
		{"long key of a header", auto, incoming(object, strings.Repeat("x", 70)+"="+secret), "has a key of 70 characters, at most 64 are allowed"},
		{"blank header", auto, incoming(object, "x=\t"), `Headers["x"] must not be blank`},
		{"blank key of a header", auto, incoming(object, " ="+secret), "has a blank key"},
		{"control characters", auto, incoming(object, "x="+secret+"\x01"), `Headers["x"] has control characters`},
		{"header that is not UTF-8", auto, incoming(object, "x="+secret+"\xff"), `Headers["x"] is not valid UTF-8`},
		{"headers that differ in case", auto, incoming(object, "x=1", "X=2"), "repeats another key"},
		{"many headers", auto, many, "Headers has 101 entries, at most 100 are allowed"},
		{"odd key of a header", auto, nul, "has control characters in its key"},
		{"version that is no string", broker.ReaderConfig{Envelope: broker.EnvelopeAlways}, incoming(`{"schema_version":2,"payload":` + object + `}`), "schema_version of the body is not a string"},
		{"aggregate that is no UUID", broker.ReaderConfig{Envelope: broker.EnvelopeAlways}, incoming(`{"aggregate_id":"` + secret + `","payload":` + object + `}`), "aggregate_id of the body is not a UUID"},
		{"no id", strict, incoming(object, "event_type=t"), `message id is missing: it has neither a header message_id nor event_id, nor "ce_id", nor meta.id in its body`},
		{"no type", strict, incoming(object, "event_id=e"), "event type is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := reader(t, c.conf).Read(c.from)
			require.Contains(t, e.Origin.Unreadable, c.want)
			require.NotContains(t, e.Origin.Unreadable, secret)
			requireKept(t, c.from, e)
			require.Equal(t, "k", e.Key)
			require.Equal(t, "orders:3:42", e.Origin.MessageID)
		})
	}
}

// requireKept asks for all that an unreadable message was.
func requireKept(t require.TestingT, m broker.Message, e *omnibox.Event) {
	require.Equal(t, m.Value, e.Body)
	require.Nil(t, e.Payload)
	require.Equal(t, m.Key, e.Origin.Key)
	require.LessOrEqual(t, len(e.Origin.Unreadable), omnibox.MaxErrorBytes)
	var raw []struct {
		Key      string `json:"key"`
		KeyBytes []byte `json:"key_bytes"`
		Value    []byte `json:"value"`
	}
	require.NoError(t, json.Unmarshal(e.Origin.RawHeaders, &raw))
	require.NotContains(t, string(e.Origin.RawHeaders), `\u0000`)
	require.Len(t, raw, len(m.Headers))
	for i, h := range m.Headers {
		if raw[i].KeyBytes != nil {
			raw[i].Key = string(raw[i].KeyBytes)
		}
		require.Equal(t, h.Key, raw[i].Key)
		require.Equal(t, h.Value == nil, raw[i].Value == nil)
		require.Equal(t, string(h.Value), string(raw[i].Value))
	}
}

func TestReadLeavesOutHeadersWithoutAValue(t *testing.T) {
	t.Parallel()
	m := incoming(`{"a":1}`, "event_id=e", "x=1")
	m.Headers = append(m.Headers, broker.Header{Key: "event_id"}, broker.Header{Key: "x"}, broker.Header{Key: "y"}, broker.Header{Key: ""})
	e := reader(t, broker.ReaderConfig{}).Read(m)
	require.Empty(t, e.Origin.Unreadable)
	require.Equal(t, "e", e.Origin.MessageID)
	require.Equal(t, map[string]string{"x": "1"}, e.Headers)
}

func TestReadOrdersByTheKey(t *testing.T) {
	t.Parallel()
	const sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, c := range []struct {
		key  []byte
		want string
	}{
		{nil, "orders:3:42"},
		{[]byte{}, "orders:3:42"},
		{[]byte("kündin-漢"), "kündin-漢"},
		{[]byte(" k "), " k "},
		{[]byte(strings.Repeat("漢", 255)), strings.Repeat("漢", 255)},
		{[]byte(strings.Repeat("漢", 256)), ""},
		{[]byte("\xff"), ""},
		{[]byte("a\x00"), ""},
		{[]byte(" \t"), ""},
	} {
		m := incoming(`{"a":1}`)
		m.Key = c.key
		e := reader(t, broker.ReaderConfig{}).Read(m)
		require.Empty(t, e.Origin.Unreadable)
		require.Equal(t, c.key, e.Origin.Key)
		if c.want == "" {
			require.True(t, strings.HasPrefix(e.Key, "sha256:"), e.Key)
			require.Len(t, e.Key, len(sum))
			continue
		}
		require.Equal(t, c.want, e.Key)
	}
}

func TestReadOfALongTopic(t *testing.T) {
	t.Parallel()
	m := incoming(`{"a":1}`, "event_type=t")
	m.Topic, m.Offset = strings.Repeat("x", 249), 1<<40
	e := reader(t, broker.ReaderConfig{}).Read(m)
	require.Empty(t, e.Origin.Unreadable)
	require.Regexp(t, `^sha256:[0-9a-f]{64}:3:1099511627776$`, e.Origin.MessageID)
}

func TestReaderConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, err := broker.NewReader(broker.ReaderConfig{Envelope: "sometimes", IDHeader: " x", IDPath: "a..b"})
	require.ErrorContains(t, err, `envelope: "sometimes" is not one of auto, always, never`)
	require.ErrorContains(t, err, `id_header: " x"`)
	require.ErrorContains(t, err, `id_path: "a..b" has an empty name`)
}
