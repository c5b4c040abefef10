package inbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/pipeline"
)

var _ pipeline.Handler = (*inbox.Applier)(nil)

var errBad = errors.New("bad")

// Keys are handled side by side, each in its order; when a message fails nothing
// of it remains, and those behind it wait, until another attempt succeeds.
//
// trap: 23, 24
func TestEachKeyInItsOrderWithItsEffect(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	var mended atomic.Bool
	b.on(func(_ context.Context, _ pgx.Tx, m inbox.Message[placed]) error {
		if m.Key == "k3" && m.Payload.N == 5 && !mended.Load() {
			return errBad
		}
		return nil
	})
	events := b.land(t, 10, keys...)
	errs := b.handle(t, events)
	for _, key := range keys {
		want := 10
		if key == "k3" {
			want = 4
		}
		require.Equal(t, upTo(want), b.effects(t, key), key)
	}
	for i, done := range b.done(t, events) {
		switch n := i/20 + 1; {
		case events[i].Key != "k3" || n < 5:
			require.NoError(t, errs[i])
			require.True(t, done)
		case n == 5:
			require.Equal(t, errBad, errs[i])
			require.False(t, done)
		default:
			require.Equal(t, omnibox.ErrNotSent, errs[i])
			require.False(t, done)
		}
	}
	mended.Store(true)
	require.Equal(t, make([]error, len(events)), b.handle(t, events))
	for _, key := range keys {
		require.Equal(t, upTo(10), b.effects(t, key), key)
	}
}

// What is completed already is not handled again, and is no failure; what another
// has by now is left alone.
//
// trap: 24
func TestOnlyWhatIsOursAndPending(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.on(succeed)
	events := b.land(t, 2, "a", "b")
	_, err := b.db.Exec(t.Context(), "update box set lost = true where id = $1", events[1].ID)
	require.NoError(t, err)
	for range 2 {
		require.Equal(t, []error{nil, omnibox.ErrLeaseLost, nil, omnibox.ErrNotSent}, b.handle(t, events))
	}
	require.Equal(t, upTo(2), b.effects(t, "a"))
	require.Empty(t, b.effects(t, "b"))
}

// A skip leaves nothing behind, is no failure, and holds up nothing.
func TestSkipAndStaleLeaveNothing(t *testing.T) {
	t.Parallel()
	for _, skip := range []error{omnibox.Skip("a test order"), inbox.Stale("revision 3 < 4"), fmt.Errorf("for now: %w", omnibox.Skip("x"))} {
		b := newBed(t)
		b.on(func(_ context.Context, _ pgx.Tx, m inbox.Message[placed]) error {
			if m.Payload.N == 1 {
				return skip
			}
			return nil
		})
		events := b.land(t, 2, "a")
		errs := b.handle(t, events)
		require.Equal(t, []error{skip, nil}, errs)
		require.Equal(t, []int{2}, b.effects(t, "a"))
		require.Equal(t, []bool{false, true}, b.done(t, events))
		require.Equal(t, omnibox.Skipped, pipeline.Retry{}.Decide(events[0], errs[0], time.Now()).Verdict)
	}
}

// No more handlers run at once than may, whoever calls.
func TestLimitOfHandlersThatRunAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{router: inbox.NewRouter(), cfg: inbox.Config{Concurrency: 3}}
		var running, most atomic.Int32
		inbox.Handle(b.router, "orders", "order.placed", "1", func(context.Context, inbox.Message[placed]) error {
			defer running.Add(-1)
			now := running.Add(1)
			for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
			}
			time.Sleep(10 * time.Millisecond)
			return nil
		})
		a := b.applier(t)
		var wg sync.WaitGroup
		for call, a := range []*inbox.Applier{a, a, a.With(b), a} {
			wg.Go(func() {
				var events []*omnibox.Event
				for i := range 30 {
					events = append(events, event(fmt.Sprint(call, "-", i), 1))
				}
				require.Equal(t, make([]error, len(events)), a.Handle(t.Context(), events))
			})
		}
		wg.Wait()
		require.EqualValues(t, 3, most.Load())
	})
}

// A call does not go on for ever over slow handlers, but each gets on.
func TestSlowHandlersAreLeftForAnotherCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{router: inbox.NewRouter(), cfg: inbox.Config{Concurrency: 1}}
		took := time.Second
		inbox.Handle(b.router, "orders", "order.placed", "1", func(context.Context, inbox.Message[placed]) error {
			time.Sleep(took)
			return nil
		})
		a := b.applier(t)
		var events []*omnibox.Event
		for i := range 20 {
			events = append(events, event("a", i))
		}
		decided := func() (n int) {
			for i, err := range a.Handle(t.Context(), events) {
				if err == nil {
					require.Equal(t, n, i)
					n++
				} else {
					require.Equal(t, omnibox.ErrNotSent, err)
				}
			}
			return n
		}
		require.Equal(t, 5, decided())
		took = 20 * time.Second
		require.Equal(t, 1, decided())
		// the second of two waits for longer than it may begin runs
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { require.Equal(t, 1, decided()) })
		}
		wg.Wait()
	})
}

// Nothing begins once the context has ended, and what it cuts off is no failure.
//
// trap: 17
func TestNothingBeginsAfterTheEnd(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.cfg.Concurrency = 1
	ctx, cancel := context.WithCancelCause(t.Context())
	b.on(func(ctx context.Context, _ pgx.Tx, _ inbox.Message[placed]) error {
		cancel(errBad)
		<-ctx.Done()
		return ctx.Err()
	})
	events := b.land(t, 2, "a", "b")
	a := b.applier(t)
	errs := a.Handle(ctx, events)
	for _, err := range append(errs, a.Handle(ctx, events)...) {
		require.ErrorIs(t, err, omnibox.ErrNotSent)
		require.Equal(t, omnibox.ClassCancelled, omnibox.ClassOf(err))
	}
	require.EqualValues(t, 1, b.calls.Load())
	require.Empty(t, b.effects(t, "a"))
}

// What an event says reaches the handler, whichever way it is stored.
func TestAnEventAsAMessage(t *testing.T) {
	t.Parallel()
	b := &bed{router: inbox.NewRouter()}
	var got seen[placed]
	inbox.Handle(b.router, "orders", "order.placed", "2", got.handle)
	inbox.Upcast(b.router, "order.placed", "1", "2", func(v placed) (placed, error) { return placed{v.N + 1}, nil })
	e := event("a", 1)
	e.Attempts = 2
	e.Headers = map[string]string{"tenant": "x"}
	e.TraceID, e.CorrelationID, e.CausationID, e.CreatedAt = "t", "c", "b", time.Unix(2, 0)
	e.Origin.Partition, e.Origin.Offset, e.Origin.OccurredAt = 3, 42, time.Unix(1, 0)
	require.NoError(t, b.applier(t).Handle(t.Context(), []*omnibox.Event{e})[0])
	require.Equal(t, inbox.Message[placed]{Payload: placed{2}, Meta: inbox.Meta{
		ID: e.ID, MessageID: "a-1", Source: "orders", Type: "order.placed", SchemaVersion: "2", Topic: "shop", Partition: 3, Offset: 42,
		Key: "a", Headers: e.Headers, TraceID: "t", CorrelationID: "c", CausationID: "b",
		OccurredAt: time.Unix(1, 0), CreatedAt: time.Unix(2, 0), Attempt: 3,
	}}, got.m)

	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "application/vnd.shop+json"} {
		e.Payload, e.Body, e.ContentType = nil, []byte(`{"n": 7}`), contentType
		require.NoError(t, b.applier(t).Handle(t.Context(), []*omnibox.Event{e})[0])
		require.Equal(t, 8, got.m.Payload.N)
		require.Empty(t, got.m.ContentType)
	}
	e.ContentType = "application/x-protobuf"
	err := b.applier(t).Handle(t.Context(), []*omnibox.Event{e})[0]
	require.ErrorContains(t, err, "it is not JSON, and only a []byte takes that")
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err))
	e.Payload, e.Body, e.ContentType, e.Origin = func() {}, nil, "", nil
	require.EqualError(t, b.applier(t).Handle(t.Context(), []*omnibox.Event{e})[0], "a payload that cannot be JSON, a func()")
}

// A message that could not be read as an event is for the fallback, once a person
// replays it.
//
// trap: 27
func TestUnreadableMessages(t *testing.T) {
	t.Parallel()
	unreadable := func(body []byte) []*omnibox.Event {
		e := event("a", 1)
		e.Payload, e.Body, e.ContentType, e.Origin.Unreadable = nil, body, "application/json", "the value is not valid JSON"
		return []*omnibox.Event{e}
	}
	b := &bed{router: inbox.NewRouter()}
	inbox.Handle(b.router, "orders", "order.placed", "1", ignore[json.RawMessage])
	err := b.applier(t).Handle(t.Context(), unreadable([]byte("{")))[0]
	require.EqualError(t, err, "unreadable, and there is no fallback: the value is not valid JSON")
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err))
	err = b.applying(t, inbox.SQL("select $1")).Handle(t.Context(), unreadable([]byte("{")))[0]
	require.EqualError(t, err, "unreadable, and SQL takes events alone: the value is not valid JSON")
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err))

	b = &bed{router: inbox.NewRouter()}
	inbox.Handle(b.router, "orders", "order.placed", "1", func(context.Context, inbox.Message[json.RawMessage]) error { return errBad })
	var got seen[[]byte]
	b.router.Fallback(got.handle)
	for _, body := range [][]byte{[]byte("{"), {0xff, 0}, nil} {
		require.NoError(t, b.applier(t).Handle(t.Context(), unreadable(body))[0])
		require.Equal(t, string(body), string(got.m.Payload))
	}
}

func TestConfigsThatAreWrong(t *testing.T) {
	t.Parallel()
	_, err := inbox.NewApplier(nil, nil, inbox.Config{
		Concurrency: -1, Timeout: -1, Batch: -1,
		Classes: map[string]omnibox.Class{"23505": "fatal", "2": omnibox.ClassPermanent, "40": omnibox.ClassCancelled, "22": omnibox.ClassTransient},
	})
	require.EqualError(t, err, `handlers of an inbox: they need something that finds them, such as Routes, and a table that completes messages, such as a store
concurrency is -1, must be at least 1
timeout is -1ns, must be above 0
batch is -1, must be at least 1
classes: "2" is no SQLSTATE: write a code such as "23505", or the two characters that begin many, such as "23"
classes: SQLSTATE 23505 cannot be "fatal": write unreachable, transient or permanent
classes: SQLSTATE 40 cannot be "cancelled": write unreachable, transient or permanent`)
}

func TestProbe(t *testing.T) {
	t.Parallel()
	a, err := inbox.NewApplier(inbox.SQL("select $1"), noTx{}, inbox.Config{})
	require.NoError(t, err)
	require.NoError(t, a.Probe(t.Context()))
	a, err = inbox.NewApplier(inbox.SQL("select $1"), noTx{}, inbox.Config{Probe: func(context.Context) error { return errBad }})
	require.NoError(t, err)
	require.Equal(t, errBad, a.Probe(t.Context()))
}
