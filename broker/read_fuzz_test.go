package broker_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

// Whatever comes, an event comes of it that a row can hold: readable and within
// the limits, or unreadable and with all that the message had.
func FuzzRead(f *testing.F) {
	for _, value := range []string{
		"", "{}", `{"a":1}`, `[1]`, `{"schema_version":null,"payload":{"a":1.50}}`, `{"a":"\u0000"}`, `{"a":"\ud83d\ude00"}`, `{"a":1e999}`,
		`{"event_type":"t","payload":{"x":[{"y":"}"},[]]},"aggregate_id":"9c2f3c66-5f0c-4a44-8b42-0c0b5be0a001"}`, "\x00\x00\x00\x00\x01\x02",
		`{"payload":7,"meta":{"id":"x"}}`, `{"meta":{"id":-1}}`, "{\"\xff\":1}",
	} {
		f.Add([]byte(value), []byte("k"), "x", []byte("1"), "event_id", []byte("e"), byte(0))
		f.Add([]byte(value), []byte(nil), "content-type", []byte("application/json"), "event_type", []byte(" "), byte(9))
	}
	var readers []*broker.Reader
	for _, envelope := range []broker.EnvelopeMode{broker.EnvelopeAuto, broker.EnvelopeAlways, broker.EnvelopeNever} {
		for _, strict := range []bool{false, true} {
			for _, path := range []string{"", "meta.id"} {
				readers = append(readers, reader(f, broker.ReaderConfig{Envelope: envelope, Strict: strict, IDPath: path, IDHeader: "x"}))
			}
		}
	}
	f.Fuzz(func(t *testing.T, value, key []byte, key1 string, value1 []byte, key2 string, value2 []byte, which byte) {
		m := broker.Message{Topic: "t", Offset: 7, Key: key, Value: value, Headers: []broker.Header{{Key: key1, Value: value1}, {Key: key2, Value: value2}}}
		e := readers[int(which)%len(readers)].Read(m)
		require.NotEmpty(t, e.Key)
		require.True(t, utf8.ValidString(e.Key))
		require.LessOrEqual(t, utf8.RuneCountInString(e.Key), omnibox.MaxKey)
		require.NotContains(t, e.Key, "\x00")
		if e.Origin.Unreadable != "" {
			require.True(t, utf8.ValidString(e.Origin.Unreadable))
			requireKept(t, m, e)
			return
		}
		require.NotEqual(t, e.Payload == nil, e.Body == nil, "it has either")
		if payload, ok := e.Payload.(json.RawMessage); ok {
			require.True(t, json.Valid(payload))
			require.Equal(t, byte('{'), payload[0])
		}
		again := *e
		require.NoError(t, omnibox.PrepareReceived(&again))
		require.Equal(t, *e, again)
	})
}
