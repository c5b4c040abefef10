package inbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
)

// A panic, of whatever part of the user's code, is the failure of one message. What
// was thrown is not told.
func TestPanicsAreFailures(t *testing.T) {
	t.Parallel()
	const secret = "4711-secret"
	for place, c := range map[string]struct {
		register func(b *bed)
		text     string
	}{
		"handler": {func(b *bed) {
			b.on(func(context.Context, pgx.Tx, inbox.Message[placed]) error { panic(secret) })
		}, "handler panicked with a string"},
		"handler outside": {func(b *bed) {
			inbox.Handle(b.router, "orders", "order.placed", "1", func(context.Context, inbox.Message[placed]) error { panic(errors.New(secret)) })
		}, "handler panicked with a *errors.errorString"},
		"upcaster": {func(b *bed) {
			inbox.HandleTx(b.router, "orders", "order.placed", "2", ignoreTx[placed])
			inbox.Upcast(b.router, "order.placed", "1", "2", func(placed) (placed, error) { panic(secret) })
		}, "handler panicked with a string"},
		"error": {func(b *bed) {
			b.on(func(context.Context, pgx.Tx, inbox.Message[placed]) error { return (*brokenError)(nil) })
		}, "handler panicked with a runtime.errorString"},
		"end of the goroutine": {func(b *bed) {
			b.on(func(context.Context, pgx.Tx, inbox.Message[placed]) error { runtime.Goexit(); return nil })
		}, "handler ended its goroutine instead of returning"},
	} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			var log bytes.Buffer
			b.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
			c.register(b)
			events := b.land(t, 2, "a")
			errs := b.handle(t, events)
			require.EqualError(t, errs[0], c.text)
			require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[0]))
			require.Equal(t, omnibox.ErrNotSent, errs[1])
			require.Empty(t, b.effects(t, "a"))
			require.NotContains(t, log.String(), secret)
			b.free(t, events[0])
		})
	}
}

// brokenError is one whose nil pointer cannot be read.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }

// A handler cannot call its failure something that would not be counted, but for
// the ways that are there for it.
func TestAHandlerThatCallsItselfCancelled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err   error
		class omnibox.Class
	}{
		{context.Canceled, omnibox.ClassTransient},
		{context.DeadlineExceeded, omnibox.ClassTransient},
		{omnibox.ErrNotSent, omnibox.ClassTransient},
		{omnibox.Unreachable(errBad), omnibox.ClassUnreachable},
		{omnibox.Permanent(errBad), omnibox.ClassPermanent},
	} {
		b := newBed(t)
		b.on(func(context.Context, pgx.Tx, inbox.Message[placed]) error { return c.err })
		err := b.handle(t, b.land(t, 1, "a"))[0]
		require.EqualError(t, err, c.err.Error())
		require.Equal(t, c.class, omnibox.ClassOf(err))
	}
}

func TestTheTransactionIsNotTheHandlersToEnd(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.on(func(ctx context.Context, tx pgx.Tx, _ inbox.Message[placed]) error { return tx.Commit(ctx) })
	events := b.land(t, 1, "a")
	require.ErrorContains(t, b.handle(t, events)[0], "return an error to roll it back, nil to commit it")
	require.Equal(t, []bool{false}, b.done(t, events))
	require.Empty(t, b.effects(t, "a"))
}

// A handler that overlooks an error of the database has done nothing, and fails.
func TestAHandlerThatOverlooksAnError(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.on(func(ctx context.Context, tx pgx.Tx, _ inbox.Message[placed]) error {
		_, err := tx.Exec(ctx, "select 1/0")
		require.Error(t, err)
		return nil
	})
	events := b.land(t, 1, "a")
	err := b.handle(t, events)[0]
	require.ErrorContains(t, err, "the handler went on after an error in its transaction")
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(err))
	require.Equal(t, []bool{false}, b.done(t, events))
}

// Two transactions that were in each other's way are tried again at once.
func TestConflictsAreTriedAgainAtOnce(t *testing.T) {
	t.Parallel()
	for conflicts, class := range map[int]omnibox.Class{1: "", 3: "", 4: omnibox.ClassTransient} {
		for _, code := range []string{"40001", "40P01"} {
			for _, where := range []string{"handler", "commit"} {
				b := newBed(t)
				left := conflicts
				conflict := func(ctx context.Context, tx pgx.Tx) error {
					if left--; left < 0 {
						return nil
					}
					_, err := tx.Exec(ctx, fmt.Sprintf("do $$ begin raise exception 'conflict' using errcode = '%s'; end $$", code))
					return err
				}
				if where == "commit" {
					b.before = func(ctx context.Context, tx pgx.Tx) error { return omnibox.Unreachable(conflict(ctx, tx)) }
					b.on(succeed)
				} else {
					b.on(func(ctx context.Context, tx pgx.Tx, _ inbox.Message[placed]) error { return conflict(ctx, tx) })
				}
				events := b.land(t, 1, "a")
				err := b.handle(t, events)[0]
				require.Equal(t, []bool{class == ""}, b.done(t, events))
				if class == "" {
					require.NoError(t, err)
					continue
				}
				require.EqualValues(t, 4, b.calls.Load())
				require.Equal(t, class, omnibox.ClassOf(err), where)
			}
		}
	}
}
