package inbox_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/inbox"
)

func same[T any](v T) (T, error) { return v, nil }

func TestMistakesAreFoundAtStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		register func(r *inbox.Router)
		mistakes []string
	}{
		"nothing": {
			func(*inbox.Router) {},
			[]string{`there is no handler`},
		},
		"two for the same": {
			func(r *inbox.Router) {
				for range 2 {
					inbox.Handle(r, "orders", "order.placed", "2", ignore[placedV2])
					inbox.Upcast(r, "order.placed", "1", "2", v1to2)
					r.Fallback(ignore[[]byte])
				}
			},
			[]string{
				`two handlers for source "orders", type "order.placed", version "2"`,
				`upcaster of type "order.placed" from version "1" to "2": there is one to "2" already, and a version can have only one`,
				`two fallbacks`,
			},
		},
		"in a transaction and not": {
			func(r *inbox.Router) {
				inbox.Handle(r, "orders", "order.placed", "", ignore[placedV2])
				inbox.HandleTx(r, "orders", "order.placed", "", ignoreTx[placedV2])
				r.Fallback(ignore[[]byte])
				r.FallbackTx(ignoreTx[[]byte])
			},
			[]string{`two handlers for source "orders", type "order.placed", any version`, `two fallbacks`},
		},
		"names": {
			func(r *inbox.Router) {
				inbox.Handle(r, "", "order.placed", "2", ignore[placedV2])
				inbox.Handle(r, "orders", "", "2", ignore[placedV2])
				inbox.Handle(r, "orders", "order.placed", "2 ", ignore[placedV2])
				inbox.Handle(r, "orders", "order.placed", "2", ignore[placedV2])
				inbox.Upcast(r, "order.placed", "1", "", same[placedV2])
				inbox.Upcast(r, "order.placed", " 1", "2", same[placedV2])
			},
			[]string{
				`handler for source "", type "order.placed", version "2": a name is missing`,
				`handler for source "orders", type "", version "2": a name is missing`,
				`handler for source "orders", type "order.placed", version "2 ": a name has blanks around it`,
				`upcaster of type "order.placed" from version "1" to "": a name is missing`,
				`upcaster of type "order.placed" from version " 1" to "2": a name has blanks around it`,
				`upcaster of type "order.placed" from version "1" to "" leads to no handler, and no further upcaster`,
			},
		},
		"no function": {
			func(r *inbox.Router) {
				inbox.Handle[placedV2](r, "orders", "order.placed", "2", nil)
				inbox.HandleTx[placedV3](r, "orders", "order.placed", "3", nil)
				inbox.Upcast[placedV1, placedV2](r, "order.placed", "1", "2", nil)
				r.Fallback(nil)
			},
			[]string{
				`handler for source "orders", type "order.placed", version "2": the function is nil`,
				`handler for source "orders", type "order.placed", version "3": the function is nil`,
				`upcaster of type "order.placed" from version "1" to "2": the function is nil`,
				`fallback: the function is nil`,
			},
		},
		"cycles": {
			func(r *inbox.Router) {
				inbox.Handle(r, "orders", "order.placed", "3", ignore[placedV2])
				for _, link := range []string{"0 1", "1 2", "2 3", "3 1", "7 7"} {
					from, to, _ := strings.Cut(link, " ")
					inbox.Upcast(r, "order.placed", from, to, same[placedV2])
				}
			},
			[]string{
				`upcasters of type "order.placed" form a cycle: ["1" "2" "3" "1"]`,
				`upcasters of type "order.placed" form a cycle: ["7" "7"]`,
			},
		},
		"chains to nowhere": {
			func(r *inbox.Router) {
				inbox.Handle(r, "orders", "order.placed", "3", ignore[placedV2])
				inbox.Handle(r, "orders", "order.placed", "", ignore[placedV2])
				r.Fallback(ignore[[]byte])
				inbox.Upcast(r, "order.placed", "1", "2", same[placedV2])
				inbox.Upcast(r, "order.placed", "2", "4", same[placedV2])
				inbox.Upcast(r, "order.sent", "1", "3", same[placedV2])
			},
			[]string{
				`upcaster of type "order.placed" from version "2" to "4" leads to no handler, and no further upcaster`,
				`upcaster of type "order.sent" from version "1" to "3" leads to no handler, and no further upcaster`,
			},
		},
		"types that do not fit": {
			func(r *inbox.Router) {
				inbox.Handle(r, "orders", "order.placed", "3", ignore[placedV2])
				inbox.Handle(r, "shop", "order.placed", "3", ignore[json.RawMessage])
				inbox.Upcast(r, "order.placed", "1", "2", same[placedV1])
				inbox.Upcast(r, "order.placed", "2", "3", v2to3)
			},
			[]string{
				`upcaster of type "order.placed" from version "1" to "2" gives a inbox_test.placedV1, but the one from version "2" takes a inbox_test.placedV2`,
				`upcaster of type "order.placed" from version "2" to "3" gives a inbox_test.placedV3, but the handler for source "orders", type "order.placed", version "3" takes a inbox_test.placedV2`,
				`upcaster of type "order.placed" from version "2" to "3" gives a inbox_test.placedV3, but the handler for source "shop", type "order.placed", version "3" takes a json.RawMessage`,
			},
		},
	} {
		r := inbox.NewRouter()
		c.register(r)
		routes, err := r.Build()
		require.EqualError(t, err, "router: "+strings.Join(c.mistakes, "\n"), name)
		require.Nil(t, routes, name)
	}
}

// A worker that lacks the handler of something it will get must not start.
//
// trap: T12
func TestWhatIsRoutedHereHasAHandler(t *testing.T) {
	t.Parallel()
	r := inbox.NewRouter()
	inbox.Handle(r, "orders", "order.placed", "2", ignore[placedV2])
	inbox.HandleTx(r, "orders", "order.paid", "", ignoreTx[placedV2])
	inbox.Upcast(r, "order.placed", "1", "2", v1to2)
	handled := []inbox.Route{
		{"orders", "order.placed", "2"},
		{"orders", "order.placed", "1"},
		{"orders", "order.placed", ""},
		{"orders", "order.paid", ""},
		{"orders", "order.paid", "17"},
	}
	_, err := r.Build(handled...)
	require.NoError(t, err)

	unhandled := []inbox.Route{
		{"orders", "order.placed", "0"},
		{"orders", "order.sent", ""},
		{"shop", "order.placed", "2"},
	}
	_, err = r.Build(append(handled, unhandled...)...)
	require.ErrorIs(t, err, inbox.ErrNoHandler)
	require.EqualError(t, err, `router: routed here: no handler for source "orders", type "order.placed", version "0": there is for source "orders", type "order.placed", version "2"
routed here: no handler for source "orders", type "order.sent", version "": the type has none at all
routed here: no handler for source "shop", type "order.placed", version "2": there is for source "orders", type "order.placed", version "2"`)

	r = inbox.NewRouter()
	r.Fallback(ignore[[]byte])
	_, err = r.Build(unhandled...)
	require.NoError(t, err)
}

func TestABuiltRouterIsClosed(t *testing.T) {
	t.Parallel()
	for name, register := range map[string]func(r *inbox.Router){
		"Handle":   func(r *inbox.Router) { inbox.Handle(r, "orders", "order.paid", "", ignore[placedV2]) },
		"HandleTx": func(r *inbox.Router) { inbox.HandleTx(r, "orders", "order.paid", "", ignoreTx[placedV2]) },
		"Upcast":   func(r *inbox.Router) { inbox.Upcast(r, "order.placed", "1", "2", v1to2) },
		"Fallback": func(r *inbox.Router) { r.Fallback(ignore[[]byte]) },
		"FallbackTx": func(r *inbox.Router) {
			r.FallbackTx(func(context.Context, pgx.Tx, inbox.Message[[]byte]) error { return nil })
		},
	} {
		r := inbox.NewRouter()
		inbox.Handle(r, "orders", "order.placed", "2", ignore[placedV2])
		_, err := r.Build()
		require.NoError(t, err)
		require.PanicsWithValue(t, "inbox: the router has been built; register everything before that", func() { register(r) }, name)
	}
}
