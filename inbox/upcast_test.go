package inbox_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
)

func TestOldVersionsAreUpcast(t *testing.T) {
	t.Parallel()
	var got seen[placedV3]
	r := inbox.NewRouter()
	inbox.Handle(r, "orders", "order.placed", "3", got.handle)
	inbox.Upcast(r, "order.placed", "2", "3", v2to3)
	inbox.Upcast(r, "order.placed", "1", "2", v1to2)
	for version, payload := range map[string]string{
		"1": `{"Sum": 7}`,
		"2": `{"Total": 7}`,
		"3": `{"Total": 7, "Currency": "EUR"}`,
	} {
		m := stored(version, payload)
		require.NoError(t, run(t, r, m))
		require.Equal(t, placedV3{Total: 7, Currency: "EUR"}, got.m.Payload, version)
		require.Equal(t, "3", got.m.SchemaVersion)
		require.Equal(t, version, m.SchemaVersion)
	}
}

// What an upcaster gives reaches the next as the same value: nothing that JSON
// would drop is lost on the way.
func TestLinksPassValues(t *testing.T) {
	t.Parallel()
	type hidden struct{ secret *int }
	var got seen[hidden]
	r := inbox.NewRouter()
	value := new(7)
	inbox.Handle(r, "orders", "order.placed", "3", got.handle)
	inbox.Upcast(r, "order.placed", "1", "2", func(placedV1) (hidden, error) { return hidden{value}, nil })
	inbox.Upcast(r, "order.placed", "2", "3", same[hidden])
	require.NoError(t, run(t, r, stored("1", `{"Sum": 7}`)))
	require.Same(t, value, got.m.Payload.secret)
}

// Upcasters of raw JSON, of generic JSON and of bodies.
func TestLinksOfOtherTypes(t *testing.T) {
	t.Parallel()
	var got seen[placedV2]
	r := inbox.NewRouter()
	inbox.Handle(r, "orders", "order.placed", "5", got.handle)
	inbox.Upcast(r, "order.placed", "1", "2", func(body []byte) (json.RawMessage, error) {
		return json.Marshal(map[string]int{"Sum": int(body[0])})
	})
	inbox.Upcast(r, "order.placed", "2", "3", same[json.RawMessage])
	inbox.Upcast(r, "order.placed", "3", "4", same[map[string]any])
	inbox.Upcast(r, "order.placed", "4", "5", func(v map[string]any) (placedV2, error) {
		n, err := v["Sum"].(json.Number).Int64()
		return placedV2{Total: int(n)}, err
	})
	m := stored("1", "")
	m.Payload, m.Body = nil, []byte{7}
	require.NoError(t, run(t, r, m))
	require.Equal(t, 7, got.m.Payload.Total)
}

func TestNothingFromAnUpcasterIsZero(t *testing.T) {
	t.Parallel()
	got := seen[error]{inbox.Message[error]{Payload: errors.New("old")}}
	r := inbox.NewRouter()
	inbox.Handle(r, "orders", "order.placed", "2", got.handle)
	inbox.Upcast(r, "order.placed", "1", "2", func(placedV1) (error, error) { return nil, nil })
	require.NoError(t, run(t, r, stored("1", `{"Sum": 7}`)))
	require.NoError(t, got.m.Payload)
}

func TestAnUpcasterThatFails(t *testing.T) {
	t.Parallel()
	bad := errors.New("bad")
	for name, c := range map[string]struct {
		err   error
		class omnibox.Class
	}{
		"an error":          {bad, omnibox.ClassPermanent},
		"one with a class":  {omnibox.Transient(bad), omnibox.ClassTransient},
		"one to be skipped": {omnibox.Skip("test order"), omnibox.ClassTransient},
	} {
		r := inbox.NewRouter()
		inbox.Handle(r, "orders", "order.placed", "2", ignore[placedV2])
		inbox.Upcast(r, "order.placed", "1", "2", func(placedV1) (placedV2, error) { return placedV2{}, c.err })
		err := run(t, r, stored("1", `{"Sum": 7}`))
		require.ErrorIs(t, err, c.err, name)
		require.EqualError(t, err, `upcast "order.placed" from version "1" to "2": `+c.err.Error(), name)
		require.Equal(t, c.class, omnibox.ClassOf(err), name)
	}
}

func TestAnOldPayloadThatDoesNotFit(t *testing.T) {
	t.Parallel()
	r := inbox.NewRouter()
	inbox.Handle(r, "orders", "order.placed", "3", ignore[placedV3])
	inbox.Upcast(r, "order.placed", "1", "2", func(placedV1) (json.RawMessage, error) { return json.RawMessage(`{"Total": "x"}`), nil })
	inbox.Upcast(r, "order.placed", "2", "3", v2to3)
	require.EqualError(t, run(t, r, stored("1", `{"Sum": "secret"}`)),
		`payload of type "order.placed", version "1", as inbox_test.placedV1: field "Sum" holds a JSON string, not a Go int, at byte 16`)
	err := run(t, r, stored("1", `{"Sum": 7}`))
	require.EqualError(t, err,
		`payload of type "order.placed", version "2", as inbox_test.placedV2: field "Total" holds a JSON string, not a Go int, at byte 13`)
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err))
}
