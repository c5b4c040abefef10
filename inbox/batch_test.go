package inbox_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
)

// batches registers a handler of many that writes, and tells how many each got.
func (b *bed) batches(then func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error) (sizes func() []int) {
	var mu sync.Mutex
	var all []int
	inbox.HandleBatch(b.router, "orders", "order.placed", "1", func(ctx context.Context, tx pgx.Tx, messages []inbox.Message[placed]) error {
		mu.Lock()
		all = append(all, len(messages))
		mu.Unlock()
		for _, m := range messages {
			if err := write(ctx, tx, m); err != nil {
				return err
			}
			if err := then(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	})
	return func() []int { return all }
}

func TestManyMessagesInOneTransaction(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.cfg.Batch = 8
	sizes := b.batches(succeed)
	events := b.land(t, 10, "a", "b")
	_, err := b.db.Exec(t.Context(), "update box set done = true where id = $1", events[2].ID)
	require.NoError(t, err)
	require.Equal(t, make([]error, 20), b.handle(t, events))
	require.Equal(t, []int{7, 8, 4}, sizes(), "one was completed before")
	require.EqualValues(t, 3, b.calls.Load())
	require.Equal(t, []int{1, 3, 4, 5, 6, 7, 8, 9, 10}, b.effects(t, "a"))
	require.Equal(t, upTo(10), b.effects(t, "b"))
	require.NotContains(t, b.done(t, events), false)
}

// Messages of other handlers in between cost a batch, but only for their key.
func TestBatchesBetweenOtherMessages(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	sizes := b.batches(succeed)
	inbox.HandleTx(b.router, "orders", "order.paid", "1", write)
	events := b.land(t, 5, "a", "b")
	events[4].Type = "order.paid" // a3
	require.Equal(t, make([]error, 10), b.handle(t, events))
	require.Equal(t, []int{7, 2}, sizes(), "a1, a2 and all of b; a4 and a5")
	require.Equal(t, upTo(5), b.effects(t, "a"))
	require.Equal(t, upTo(5), b.effects(t, "b"))
}

// A message that fails, whatever way, fails alone, and those behind it wait.
func TestABadMessageOfABatchFailsAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail func(ctx context.Context, tx pgx.Tx) error
		want string
	}{
		"error":   {func(context.Context, pgx.Tx) error { return errBad }, "bad"},
		"panic":   {func(context.Context, pgx.Tx) error { panic(errBad) }, "handler panicked with a *errors.errorString"},
		"skip":    {func(context.Context, pgx.Tx) error { return omnibox.Skip("a test") }, "skipped: a test"},
		"refused": {func(ctx context.Context, tx pgx.Tx) error { _, err := tx.Exec(ctx, "select 1/0"); return err }, "SQLSTATE 22012: bad data"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.batches(func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error {
				if m.Key == "a" && m.Payload.N == 2 {
					return c.fail(ctx, tx)
				}
				return nil
			})
			events := b.land(t, 3, "a", "b")
			errs := b.handle(t, events)
			for i, e := range events {
				switch {
				case e.Key == "b" || i == 0:
					require.NoError(t, errs[i])
				case i == 2:
					require.EqualError(t, errs[i], c.want)
				case name == "skip":
					require.NoError(t, errs[i])
				default:
					require.Equal(t, omnibox.ErrNotSent, errs[i])
				}
			}
			require.Equal(t, upTo(3), b.effects(t, "b"))
			want := []int{1}
			if name == "skip" {
				want = []int{1, 3}
			}
			require.Equal(t, want, b.effects(t, "a"))
		})
	}
}

// What cannot be read is no reason to take a batch apart.
func TestAnUnreadableMessageOfABatch(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	sizes := b.batches(succeed)
	inbox.Upcast(b.router, "order.placed", "0", "1", func(placed) (placed, error) { return placed{}, errBad })
	events := b.land(t, 3, "a", "b")
	events[2].SchemaVersion = "0"
	errs := b.handle(t, events)
	require.ErrorIs(t, errs[2], errBad)
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(errs[2]))
	require.Equal(t, omnibox.ErrNotSent, errs[4])
	require.Equal(t, []int{4}, sizes())
	require.Equal(t, upTo(1), b.effects(t, "a"))
	require.Equal(t, upTo(3), b.effects(t, "b"))
}

// Nor does one over which an upcaster panics harm the others.
func TestAPanicOverAMessageOfABatch(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.batches(succeed)
	inbox.Upcast(b.router, "order.placed", "0", "1", func(placed) (placed, error) { panic(errBad) })
	events := b.land(t, 2, "a", "b")
	events[0].SchemaVersion = "0"
	errs := b.handle(t, events)
	require.EqualError(t, errs[0], "handler panicked with a *errors.errorString")
	require.Equal(t, []error{errs[0], nil, omnibox.ErrNotSent, nil}, errs)
	require.Equal(t, upTo(2), b.effects(t, "b"))
}

// When the database is gone, or the end has come, there is no point in trying one
// by one.
func TestABatchThatNobodyIsToBlameFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail  func(cancel func()) error
		class omnibox.Class
	}{
		"unreachable": {func(func()) error { return omnibox.Unreachable(errBad) }, omnibox.ClassUnreachable},
		"the end":     {func(cancel func()) error { cancel(); return errBad }, omnibox.ClassCancelled},
	} {
		b := newBed(t)
		ctx, cancel := context.WithCancel(t.Context())
		sizes := b.batches(func(context.Context, pgx.Tx, inbox.Message[placed]) error { return c.fail(cancel) })
		for i, err := range b.applier(t).Handle(ctx, b.land(t, 2, "a", "b")) {
			if i < 2 {
				require.Equal(t, c.class, omnibox.ClassOf(err), name)
			} else {
				require.Equal(t, omnibox.ErrNotSent, err)
			}
		}
		require.Equal(t, []int{4}, sizes())
	}
}

// A lease that is lost of one of them is no matter for the others.
func TestABatchWithALostLease(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.batches(succeed)
	events := b.land(t, 2, "a", "b")
	_, err := b.db.Exec(t.Context(), "update box set lost = true where id = $1", events[0].ID)
	require.NoError(t, err)
	require.Equal(t, []error{omnibox.ErrLeaseLost, nil, omnibox.ErrNotSent, nil}, b.handle(t, events))
	require.Equal(t, upTo(2), b.effects(t, "b"))
}

func TestABatchIsTriedAgainAfterAConflict(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	conflicts := 2
	sizes := b.batches(func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) (err error) {
		if conflicts > 0 && m.Payload.N == 3 {
			conflicts--
			_, err = tx.Exec(ctx, "do $$ begin raise exception 'x' using errcode = '40P01'; end $$")
		}
		return err
	})
	require.Equal(t, make([]error, 4), b.handle(t, b.land(t, 4, "a")))
	require.Equal(t, []int{4, 4, 4}, sizes())
}

// A batch that takes too long is taken apart, and its messages are given time of
// their own, so that the one which is to blame is found.
func TestABatchThatTakesTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{router: inbox.NewRouter()}
		inbox.HandleBatch(b.router, "orders", "order.placed", "1", func(ctx context.Context, _ pgx.Tx, messages []inbox.Message[placed]) error {
			for _, m := range messages {
				if m.Payload.N == 3 {
					<-ctx.Done()
					return ctx.Err()
				}
			}
			return nil
		})
		routes, err := b.router.Build()
		require.NoError(t, err)
		a, err := inbox.NewApplier(routes, noTx{}, b.cfg)
		require.NoError(t, err)
		var events []*omnibox.Event
		for n := range 5 {
			events = append(events, event(fmt.Sprint(n), n))
		}
		began := time.Now()
		errs := a.Handle(t.Context(), events)
		require.EqualError(t, errs[3], "handler timed out after 30s")
		require.Equal(t, []error{nil, nil, nil, errs[3], omnibox.ErrNotSent}, errs)
		require.Equal(t, time.Minute, time.Since(began))
	})
}

// noTx completes without a database.
type noTx struct{}

func (noTx) Complete(ctx context.Context, events []*omnibox.Event, work func(context.Context, pgx.Tx, []*omnibox.Event) error) error {
	return work(ctx, nil, events)
}

// The messages of a batch are the causes of what it does one by one.
func TestCausesInABatch(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	var caused []string
	inbox.HandleBatch(b.router, "orders", "order.placed", "1", func(ctx context.Context, _ pgx.Tx, messages []inbox.Message[placed]) error {
		for _, m := range messages {
			caused = append(caused, inbox.Caused(ctx, omnibox.Event{}).CausationID, m.Caused(omnibox.Event{}).CausationID)
		}
		return nil
	})
	require.Equal(t, []error{nil, nil}, b.handle(t, b.land(t, 2, "a")))
	require.Equal(t, []error{nil}, b.handle(t, b.land(t, 1, "a")))
	require.Equal(t, []string{"", "a-1", "", "a-2", "", "a-1"}, caused)
}

// Whatever mixture of handlers the keys have, and whatever fails: each key is
// handled in its order, up to its first failure, and each message once.
func TestOrderWithHandlersOfAllKinds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		types := rapid.SliceOfN(rapid.SampledFrom([]string{"one", "other", "batch", "batch2"}), 1, 60).Draw(rt, "types")
		keys := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), len(types), len(types)).Draw(rt, "keys")
		bad := rapid.SliceOfN(rapid.IntRange(0, len(types)-1), 0, 4).Draw(rt, "bad")
		w := &world{bad: bad, got: map[string][]int{}}
		r := inbox.NewRouter()
		inbox.Handle(r, "orders", "one", "1", func(_ context.Context, m inbox.Message[placed]) error { return w.apply(m) })
		inbox.HandleTx(r, "orders", "other", "1", func(_ context.Context, _ pgx.Tx, m inbox.Message[placed]) error { return w.apply(m) })
		for _, batch := range []string{"batch", "batch2"} {
			inbox.HandleBatch(r, "orders", batch, "1", func(_ context.Context, _ pgx.Tx, m []inbox.Message[placed]) error { return w.apply(m...) })
		}
		routes, err := r.Build()
		require.NoError(rt, err)
		a, err := inbox.NewApplier(routes, noTx{}, inbox.Config{
			Concurrency: rapid.IntRange(1, 4).Draw(rt, "concurrency"), Batch: rapid.IntRange(1, 9).Draw(rt, "batch"),
		})
		require.NoError(rt, err)
		var events []*omnibox.Event
		want, failed := map[string][]int{}, map[string]bool{}
		for i, eventType := range types {
			e := event(keys[i], i)
			e.Type = eventType
			events = append(events, e)
		}
		errs := a.Handle(t.Context(), events)
		for i, e := range events {
			switch {
			case failed[e.Key]:
				require.Equal(rt, omnibox.ErrNotSent, errs[i])
			case slices.Contains(bad, i):
				require.Equal(rt, errBad, errs[i])
				failed[e.Key] = true
			default:
				require.NoError(rt, errs[i])
				want[e.Key] = append(want[e.Key], i)
			}
		}
		require.Equal(rt, want, w.got)
	})
}

// world is where handlers have an effect.
type world struct {
	mu  sync.Mutex
	bad []int
	got map[string][]int
}

// apply takes all of the messages, or none.
func (w *world) apply(messages ...inbox.Message[placed]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range messages {
		if slices.Contains(w.bad, m.Payload.N) {
			return errBad
		}
	}
	for _, m := range messages {
		w.got[m.Key] = append(w.got[m.Key], m.Payload.N)
	}
	return nil
}

func TestABatchHandlerThatIsNil(t *testing.T) {
	t.Parallel()
	r := inbox.NewRouter()
	inbox.HandleBatch[placed](r, "orders", "order.placed", "1", nil)
	_, err := r.Build()
	require.ErrorContains(t, err, "the function is nil")
}
