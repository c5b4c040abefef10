package inbox_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/pipeline"
)

// readAs gives the payload of a message as a handler of T gets it.
func readAs[T any](t *testing.T, m *inbox.Stored) (T, error) {
	t.Helper()
	var got seen[T]
	r := inbox.NewRouter()
	inbox.Handle(r, m.Source, m.Type, "", got.handle)
	err := run(t, r, m)
	return got.m.Payload, err
}

func requireReads[T any](t *testing.T, want T, payload string) {
	t.Helper()
	got, err := readAs[T](t, stored("", payload))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestPayloadsAreReadAsTheHandlersType(t *testing.T) {
	t.Parallel()
	const payload = `{"Total": 7, "more": [1.50, 12345678901234567890]}`
	requireReads(t, placedV2{Total: 7}, payload)
	requireReads(t, &placedV2{Total: 7}, payload)
	requireReads(t, placedV3{Total: 7}, payload)
	requireReads(t, []byte(payload), payload)
	requireReads(t, json.RawMessage(payload), payload)
	requireReads(t, struct{ More json.RawMessage }{json.RawMessage(`[1.50, 12345678901234567890]`)}, payload)
	numbers := []any{json.Number("1.50"), json.Number("12345678901234567890")}
	requireReads(t, map[string]any{"Total": json.Number("7"), "more": numbers}, payload)
	requireReads[any](t, map[string]any{"Total": json.Number("7"), "more": numbers}, payload)
	requireReads(t, []any{}, ` [] `)
}

func TestBodiesAreForBytes(t *testing.T) {
	t.Parallel()
	for _, body := range [][]byte{{}, {0, 1, 255}} {
		m := stored("2", "")
		m.Payload, m.Body = nil, body
		got, err := readAs[[]byte](t, m)
		require.NoError(t, err)
		require.Equal(t, body, got)
		_, err = readAs[placedV2](t, m)
		require.EqualError(t, err, `payload of type "order.placed", version "2", as inbox_test.placedV2: it is not JSON, and only a []byte takes that`)
		require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err))
		_, err = readAs[json.RawMessage](t, m)
		require.ErrorContains(t, err, "it is not JSON")
	}
}

// refuses has a field that refuses its value in its own words.
type refuses struct{}

func (*refuses) UnmarshalJSON(b []byte) error { return errors.New("refused: " + string(b)) }

func requireNoQuote[T any](t *testing.T, want, payload string) {
	t.Helper()
	_, err := readAs[T](t, stored("2", payload))
	require.ErrorContains(t, err, ": "+want)
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err))
	// what the pipeline writes down needs no redaction
	require.Equal(t, err.Error(), pipeline.Redact(err.Error(), &omnibox.Event{Payload: json.RawMessage(payload)}))
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		require.NotContains(t, cause.Error(), "4711")
	}
}

func TestErrorsOfDecodingDoNotQuoteThePayload(t *testing.T) {
	t.Parallel()
	requireNoQuote[placedV2](t, `field "Total" holds a JSON string, not a Go int, at byte 16`, `{"Total": "4711"}`)
	requireNoQuote[placedV2](t, `field "Total" holds a JSON number, not a Go int, at byte 18`, `{"Total": 4711e900}`)
	requireNoQuote[struct{ Total int8 }](t, `field "Total" holds a JSON number, not a Go int8`, `{"Total": 4711}`)
	requireNoQuote[struct{ A struct{ B bool } }](t, `field "A.B" holds a JSON number, not a Go bool`, `{"A": {"B": 4711}}`)
	requireNoQuote[map[string]map[string]int](t, `it holds a JSON string, not a Go int`, `{"4711": {"4711": "4711"}}`)
	requireNoQuote[map[int8]int](t, `it holds a JSON number, not a Go int8`, `{"4711": 1}`)
	requireNoQuote[placedV2](t, `it holds a JSON array, not a Go inbox_test.placedV2`, `[4711]`)
	requireNoQuote[struct {
		N int `json:",string"`
	}](t, `a value is refused with a *errors.errorString`, `{"N": "x4711"}`)
	requireNoQuote[struct{ At time.Time }](t, `a value is refused with a *time.ParseError`, `{"At": "4711"}`)
	requireNoQuote[struct{ ID uuid.UUID }](t, `a value is refused with a`, `{"ID": "4711"}`)
	requireNoQuote[struct{ R refuses }](t, `a value is refused with a *errors.errorString`, `{"R": "4711"}`)
}

// A row has valid JSON, but what an upcaster makes of it may be anything.
func TestContentThatIsNotJSON(t *testing.T) {
	t.Parallel()
	requireNoQuote[placedV2](t, `it is missing`, ``)
	requireNoQuote[[]byte](t, `it is missing`, ``)
	requireNoQuote[*placedV2](t, `it is missing`, ` null`)
	for payload, want := range map[string]string{
		`{"Total": 4711`:      `it is not valid JSON, but cut off`,
		`   `:                 `it is missing`,
		`{"Total": !4711}`:    `it is not valid JSON, from byte 11 on`,
		`{"Total": 1} {}`:     `there is more behind its end`,
		`{"Total": 1} "4711"`: `there is more behind its end`,
		"{\"Total\": 1}\x00":  `there is more behind its end`,
	} {
		_, err := readAs[placedV2](t, stored("2", payload))
		require.ErrorContains(t, err, want, payload)
		require.NotContains(t, err.Error(), "4711")
		require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err))
	}
}
