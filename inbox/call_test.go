package inbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/pipeline"
)

type fakeTx struct{ pgx.Tx }

func TestHandleTxGetsTheTransaction(t *testing.T) {
	t.Parallel()
	var got pgx.Tx
	r := inbox.NewRouter()
	inbox.HandleTx(r, "orders", "order.placed", "2", func(_ context.Context, tx pgx.Tx, m inbox.Message[placedV2]) error {
		require.Equal(t, 7, m.Payload.Total)
		got = tx
		return nil
	})
	r.FallbackTx(ignoreTx[[]byte])
	routes, err := r.Build()
	require.NoError(t, err)

	call, err := routes.Find(stored("2", `{"Total": 7}`))
	require.NoError(t, err)
	require.True(t, call.InTx)
	require.Nil(t, got) // nothing has run yet
	tx := &fakeTx{}
	require.NoError(t, call.Run(t.Context(), tx))
	require.Same(t, tx, got)

	call, err = routes.Find(stored("3", `{"Total": 7}`))
	require.NoError(t, err)
	require.True(t, call.InTx)
}

func TestWhatAHandlerReturnsIsWhatComesOut(t *testing.T) {
	t.Parallel()
	at, now := time.Unix(100, 0), time.Unix(40, 0)
	bad := errors.New("bad")
	for name, c := range map[string]struct {
		err     error
		verdict omnibox.Verdict
		counted bool
		delay   time.Duration
	}{
		"nil":       {verdict: omnibox.Completed},
		"skip":      {err: omnibox.Skip("not ours"), verdict: omnibox.Skipped},
		"stale":     {err: inbox.Stale("revision 3 < 4"), verdict: omnibox.Skipped},
		"retry at":  {err: omnibox.RetryAt(at), verdict: omnibox.Retry, delay: time.Minute},
		"permanent": {err: omnibox.Permanent(bad), verdict: omnibox.Dead, counted: true},
		"failure":   {err: bad, verdict: omnibox.Retry, counted: true},
	} {
		r := inbox.NewRouter()
		inbox.Handle(r, "orders", "order.placed", "2", func(context.Context, inbox.Message[placedV2]) error { return c.err })
		err := run(t, r, stored("2", `{"Total": 7}`))
		require.Equal(t, c.err, err, name)
		o := pipeline.Retry{Base: -1}.Decide(&omnibox.Event{MaxAttempts: 6}, err, now)
		require.Equal(t, c.verdict, o.Verdict, name)
		require.Equal(t, c.counted, o.Counted, name)
		require.Equal(t, c.delay, o.Delay, name)
	}
}

func TestStaleCanBeToldFromOtherSkips(t *testing.T) {
	t.Parallel()
	stale, is := errors.AsType[*inbox.StaleError](inbox.Stale("old"))
	require.True(t, is)
	require.EqualError(t, stale, "stale: old")
	_, is = errors.AsType[*inbox.StaleError](omnibox.Skip("old"))
	require.False(t, is)
}

func TestAMessageIsTheHandlersOwn(t *testing.T) {
	t.Parallel()
	r := inbox.NewRouter()
	inbox.Handle(r, "orders", "order.placed", "2", func(_ context.Context, m inbox.Message[json.RawMessage]) error {
		m.Payload[0], m.Headers["tenant"] = 'x', "b"
		return nil
	})
	r.Fallback(func(_ context.Context, m inbox.Message[[]byte]) error {
		m.Payload[0] = 'x'
		return nil
	})
	m, other, body := stored("2", `{"Total": 7}`), stored("3", `{"Total": 7}`), stored("3", "")
	body.Payload, body.Body = nil, []byte("body")
	for _, m := range []*inbox.Stored{m, other, body} {
		require.NoError(t, run(t, r, m))
	}
	require.Equal(t, stored("2", `{"Total": 7}`), m)
	require.Equal(t, stored("3", `{"Total": 7}`), other)
	require.Equal(t, "body", string(body.Body))
}

func TestRoutesServeManyAtATime(t *testing.T) {
	t.Parallel()
	r := inbox.NewRouter()
	inbox.Handle(r, "orders", "order.placed", "3", func(_ context.Context, m inbox.Message[placedV3]) error {
		if m.Payload != (placedV3{Total: 7, Currency: "EUR"}) {
			return errors.New("another payload")
		}
		return nil
	})
	inbox.Upcast(r, "order.placed", "1", "2", v1to2)
	inbox.Upcast(r, "order.placed", "2", "3", v2to3)
	routes, err := r.Build()
	require.NoError(t, err)
	m := stored("1", `{"Sum": 7}`)
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for range 200 {
				call, err := routes.Find(m)
				if err == nil {
					err = call.Run(t.Context(), nil)
				}
				errs[i] = errors.Join(errs[i], err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}
