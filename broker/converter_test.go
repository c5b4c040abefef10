package broker_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

// vector is an event and what omni-box 0.3.1 sends for it; testdata/vectors.py
// says how the file was made.
type vector struct {
	Name  string
	Event struct {
		ID            uuid.UUID         `json:"id"`
		Type          string            `json:"event_type"`
		AggregateType string            `json:"aggregate_type"`
		AggregateID   uuid.UUID         `json:"aggregate_id"`
		Topic         string            `json:"topic"`
		Key           string            `json:"partition_key"`
		SchemaVersion string            `json:"schema_version"`
		TraceID       string            `json:"trace_id"`
		CorrelationID string            `json:"correlation_id"`
		CausationID   string            `json:"causation_id"`
		Headers       map[string]string `json:"headers"`
		CreatedAt     time.Time         `json:"created_at"`
		Payload       string            `json:"payload"`
	}
	Raw             message
	SchemaVersioned message `json:"schema-versioned"`
	Envelope        message
}

type message struct {
	Topic, Key, Value string
	Headers           [][2]string
}

func (v *vector) event() *omnibox.Event {
	e := v.Event
	return &omnibox.Event{
		ID: e.ID, Type: e.Type, Aggregate: omnibox.Aggregate{Type: e.AggregateType, ID: e.AggregateID},
		Topic: e.Topic, Key: e.Key, SchemaVersion: e.SchemaVersion, TraceID: e.TraceID,
		CorrelationID: e.CorrelationID, CausationID: e.CausationID, Headers: e.Headers,
		CreatedAt: e.CreatedAt, Payload: json.RawMessage(e.Payload),
	}
}

func asMessage(r broker.Record) message {
	m := message{Topic: r.Topic, Key: string(r.Key), Value: string(r.Value)}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, [2]string{h.Key, string(h.Value)})
	}
	return m
}

// omniBoxVectors are events with what omni-box sends for them.
func omniBoxVectors(t *testing.T) (all []vector) {
	t.Helper()
	data, err := os.ReadFile("testdata/omni_box_0_3_1.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &all))
	require.NotEmpty(t, all)
	return all
}

func TestConvertersSendTheBytesOfOmniBox(t *testing.T) {
	t.Parallel()
	for _, v := range omniBoxVectors(t) {
		for name, want := range map[string]message{
			"raw": v.Raw, "schema-versioned": v.SchemaVersioned, "envelope": v.Envelope,
		} {
			t.Run(v.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, err := broker.NewConverter(name)
				require.NoError(t, err)
				r, err := c.Convert(v.event())
				require.NoError(t, err)
				require.Equal(t, want, asMessage(r))
			})
		}
	}
}

func TestConvertersSendBodiesAsTheyAre(t *testing.T) {
	t.Parallel()
	body := []byte{0, 1, 0xff, '{'}
	for _, c := range []broker.Converter{broker.Raw{}, broker.SchemaVersioned{}, broker.Envelope{}} {
		e := &omnibox.Event{
			Topic: "t", Key: "k", Type: "x", Body: body, ContentType: "application/x-protobuf",
			Headers: map[string]string{"a": "1"},
		}
		r, err := c.Convert(e)
		require.NoError(t, err)
		require.Equal(t, body, r.Value)
		require.Equal(t, broker.Header{Key: "a", Value: []byte("1")}, r.Headers[0])
		require.Contains(t, r.Headers, broker.Header{Key: "content-type", Value: []byte("application/x-protobuf")})
	}
}

func TestPayloadsThatAStepReplacedAreEncodedCompactly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		payload any
		want    string
	}{
		{json.RawMessage(`{"n":1.50,"big":10000000000000000000000}`), `{"n":1.50,"big":10000000000000000000000}`},
		{map[string]any{"a": "<&>\u2028\u2029", "n": json.Number("1.50")}, "{\"a\":\"<&>\u2028\u2029\",\"n\":1.50}"},
		{map[string]any{"a": `\u2028`}, `{"a":"\\u2028"}`},
		{map[string]any{"a": "\\\u2028"}, "{\"a\":\"\\\\\u2028\"}"},
		{struct {
			A int `json:"a"`
		}{7}, `{"a":7}`},
	} {
		r, err := broker.Raw{}.Convert(&omnibox.Event{Payload: c.payload})
		require.NoError(t, err)
		require.Equal(t, c.want, string(r.Value))
	}
}

func TestEventsWithoutAPayloadDoNotConvert(t *testing.T) {
	t.Parallel()
	for _, p := range []any{nil, json.RawMessage(nil), json.RawMessage{}} {
		_, err := broker.Raw{}.Convert(&omnibox.Event{Payload: p})
		require.ErrorIs(t, err, broker.ErrNoPayload)
	}
	_, err := broker.Raw{}.Convert(&omnibox.Event{Payload: make(chan int)})
	require.ErrorContains(t, err, "encode payload of event")
}

func TestEnvelopeDefaultVersion(t *testing.T) {
	t.Parallel()
	e := &omnibox.Event{Payload: json.RawMessage(`{"a":1}`)}
	r, err := broker.Envelope{DefaultVersion: "7"}.Convert(e)
	require.NoError(t, err)
	require.Contains(t, string(r.Value), `"schema_version":"7"`)
}

func TestNewConverterRefusesUnknownNames(t *testing.T) {
	t.Parallel()
	_, err := broker.NewConverter("avro")
	require.ErrorContains(t, err, "raw, schema-versioned or envelope")
}
