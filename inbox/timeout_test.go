package inbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
)

// A handler that takes too long fails, whether it ends then or never does. Its row
// and its connection are free after that, and nothing that it wrote or still
// writes remains.
//
// trap: 24
func TestAHandlerThatTakesTooLong(t *testing.T) {
	t.Parallel()
	wake := make(chan struct{})
	woken := make(chan error, 1)
	for name, hang := range map[string]func(ctx context.Context, tx pgx.Tx) error{
		"it heeds its context": func(ctx context.Context, _ pgx.Tx) error { <-ctx.Done(); return ctx.Err() },
		"the database does": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "select pg_sleep(1000)")
			return err
		},
		"it ends with another context": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(context.WithoutCancel(ctx), "select pg_sleep(1000)")
			return err
		},
		"it overlooks that": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(context.WithoutCancel(ctx), "select pg_sleep(1000)")
			require.Error(t, err)
			return nil
		},
		"it never ends": func(ctx context.Context, tx pgx.Tx) error {
			<-wake
			m := inbox.Message[placed]{Meta: inbox.Meta{Key: "late"}}
			woken <- write(context.WithoutCancel(ctx), tx, m)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.cfg.Timeout = 100 * time.Millisecond
			b.onUncut(func(ctx context.Context, tx pgx.Tx, _ inbox.Message[placed]) error { return hang(ctx, tx) })
			events := b.land(t, 2, "a")
			errs := b.handle(t, events)
			require.EqualError(t, errs[0], "handler timed out after 100ms")
			require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[0]))
			require.Equal(t, omnibox.ErrNotSent, errs[1])
			b.free(t, events[0])
			if name == "it never ends" {
				close(wake)
				require.ErrorContains(t, <-woken, "the handler has been given up")
			}
			require.Empty(t, b.effects(t, "a"))
			require.Empty(t, b.effects(t, "late"))
			require.Equal(t, []bool{false, false}, b.done(t, events))
		})
	}
}

// A handler that hangs outside of a transaction, or an upcaster, is given up too.
func TestCodeThatNeverEnds(t *testing.T) {
	t.Parallel()
	wake := make(chan struct{})
	defer close(wake)
	for name, register := range map[string]func(r *inbox.Router){
		"handler": func(r *inbox.Router) {
			inbox.Handle(r, "orders", "order.placed", "1", func(context.Context, inbox.Message[placed]) error { <-wake; return nil })
		},
		"upcaster": func(r *inbox.Router) {
			inbox.HandleTx(r, "orders", "order.placed", "2", ignoreTx[placed])
			inbox.Upcast(r, "order.placed", "1", "2", func(v placed) (placed, error) { <-wake; return v, nil })
		},
	} {
		b := &bed{router: inbox.NewRouter(), cfg: inbox.Config{Timeout: time.Millisecond}}
		register(b.router)
		require.EqualError(t, b.applier(t).Handle(t.Context(), []*omnibox.Event{event("a", 1)})[0], "handler timed out after 1ms", name)
	}
}

// What returns late, but soon enough, counts.
func TestAHandlerThatIsJustInTime(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.cfg.Timeout = 10 * time.Millisecond
	b.onUncut(func(ctx context.Context, _ pgx.Tx, m inbox.Message[placed]) error {
		<-ctx.Done()
		require.EqualError(t, context.Cause(ctx), "handler timed out after 10ms")
		if m.Key == "b" {
			return omnibox.Permanent(errBad)
		}
		return nil
	})
	events := b.land(t, 1, "a", "b")
	require.Equal(t, []error{nil, omnibox.Permanent(errBad)}, b.handle(t, events))
	require.Equal(t, []bool{true, false}, b.done(t, events))
}

// A lease that ends under a handler is nobody's failure, whatever the handler does.
func TestLeaseThatEndsUnderAHandler(t *testing.T) {
	t.Parallel()
	wake := make(chan struct{})
	t.Cleanup(func() { close(wake) })
	for name, end := range map[string]func(ctx context.Context) error{
		"it heeds its context": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"it calls it a name":   func(ctx context.Context) error { <-ctx.Done(); return errBad },
		"it never ends":        func(context.Context) error { <-wake; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			ctx, cancel := context.WithCancel(t.Context())
			b.on(func(ctx context.Context, _ pgx.Tx, _ inbox.Message[placed]) error {
				cancel()
				return end(ctx)
			})
			events := b.land(t, 1, "a")
			err := b.applier(t).Handle(ctx, events)[0]
			require.ErrorIs(t, err, omnibox.ErrNotSent)
			require.Equal(t, omnibox.ClassCancelled, omnibox.ClassOf(err))
			b.free(t, events[0])
			require.Equal(t, []bool{false}, b.done(t, events))
		})
	}
}

// A database that does not get at the row in time is nobody's failure either.
func TestARowThatIsLocked(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.cfg.Timeout = time.Millisecond
	b.on(succeed)
	events := b.land(t, 1, "a")
	require.NoError(t, pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "update box set done = false where id = $1", events[0].ID); err != nil {
			return err
		}
		err := b.handle(t, events)[0]
		require.ErrorContains(t, err, "the database did not complete messages in time")
		require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err))
		return nil
	}))
}
