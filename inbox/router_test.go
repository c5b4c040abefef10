package inbox_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
)

func TestAHandlerGetsAllThatIsKnown(t *testing.T) {
	t.Parallel()
	var got seen[placedV2]
	r := inbox.NewRouter()
	inbox.Handle(r, "orders", "order.placed", "2", got.handle)
	m := stored("2", `{"Total": 7, "added": "later"}`)
	require.NoError(t, run(t, r, m))
	require.Equal(t, inbox.Message[placedV2]{Meta: m.Meta, Payload: placedV2{Total: 7}}, got.m)
}

func TestWhoHandlesWhat(t *testing.T) {
	t.Parallel()
	var by string
	r := inbox.NewRouter()
	on := func(source, eventType, version string) {
		name := source + " " + eventType + " " + version
		inbox.Handle(r, source, eventType, version, func(context.Context, inbox.Message[json.RawMessage]) error {
			by = name
			return nil
		})
	}
	link := func(from, to string) {
		inbox.Upcast(r, "order.placed", from, to, func(v json.RawMessage) (json.RawMessage, error) { return v, nil })
	}
	on("orders", "order.placed", "1")
	on("orders", "order.placed", "3")
	on("orders", "order.placed", "5")
	on("orders", "order.placed", "")
	on("orders", "order.paid", "1")
	on("shop", "order.placed", "5")
	link("1", "2")
	link("2", "3")
	link("4", "5")
	link("3", "4")
	link("", "1")
	r.Fallback(func(context.Context, inbox.Message[[]byte]) error {
		by = "fallback"
		return nil
	})
	for name, c := range map[string]struct{ source, eventType, version, by string }{
		"exactly, though it could be upcast": {"orders", "order.placed", "1", "orders order.placed 1"},
		"exactly, in the middle of a chain":  {"orders", "order.placed", "3", "orders order.placed 3"},
		"upcast to the nearest":              {"orders", "order.placed", "2", "orders order.placed 3"},
		"upcast, and not any version":        {"orders", "order.placed", "4", "orders order.placed 5"},
		"any version":                        {"orders", "order.placed", "6", "orders order.placed "},
		"no version is exactly any":          {"orders", "order.placed", "", "orders order.placed "},
		"another type":                       {"orders", "order.paid", "1", "orders order.paid 1"},
		"upcast only within a type":          {"orders", "order.paid", "", "fallback"},
		"another source: the whole chain":    {"shop", "order.placed", "1", "shop order.placed 5"},
		"a chain from no version":            {"shop", "order.placed", "", "shop order.placed 5"},
		"which is not one from any":          {"shop", "order.placed", "6", "fallback"},
		"unknown source":                     {"stock", "order.placed", "1", "fallback"},
		"unknown type":                       {"orders", "order.sent", "1", "fallback"},
		"names are exact":                    {"Orders", "order.placed", "1", "fallback"},
	} {
		m := stored(c.version, `{"a": 1}`)
		m.Source, m.Type = c.source, c.eventType
		require.NoError(t, run(t, r, m), name)
		require.Equal(t, c.by, by, name)
	}
}

func TestAMessageThatNobodyHandlesIsDeadAndSaysWhy(t *testing.T) {
	t.Parallel()
	r := inbox.NewRouter()
	inbox.Handle(r, "orders", "order.placed", "2", ignore[placedV2])
	inbox.Handle(r, "shop", "order.placed", "", ignore[placedV2])
	inbox.Upcast(r, "order.placed", "1", "2", v1to2)

	err := run(t, r, stored("9", `{"secret": 1}`))
	require.ErrorIs(t, err, inbox.ErrNoHandler)
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err))
	require.EqualError(t, err, `no handler for source "orders", type "order.placed", version "9": `+
		`there is for source "orders", type "order.placed", version "2"; source "shop", type "order.placed", any version`)

	m := stored("1", `{"secret": 1}`)
	m.Type = "order.sent"
	require.EqualError(t, run(t, r, m), `no handler for source "orders", type "order.sent", version "1": the type has none at all`)
}

func TestAFallbackGetsWhatCame(t *testing.T) {
	t.Parallel()
	var got seen[[]byte]
	r := inbox.NewRouter()
	r.Fallback(got.handle)
	require.NoError(t, run(t, r, stored("9", `{"n": 1.50}`)))
	require.Equal(t, `{"n": 1.50}`, string(got.m.Payload))
	require.Equal(t, "9", got.m.SchemaVersion)

	m := stored("", "")
	m.Payload, m.Body, m.ContentType = nil, []byte{0, 255}, "application/x-protobuf"
	require.NoError(t, run(t, r, m))
	require.Equal(t, []byte{0, 255}, got.m.Payload)
	require.Equal(t, "application/x-protobuf", got.m.ContentType)
}
