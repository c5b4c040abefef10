package inbox_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
)

const breakConnection = "select pg_terminate_backend(pg_backend_pid())"

// A connection that breaks is the database's trouble at first. When it breaks
// under the same message again and again, it is that message's.
func TestAMessageThatAlwaysBreaksItsConnection(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	inbox.HandleTx(b.router, "orders", "order.placed", "1", func(ctx context.Context, tx pgx.Tx, _ inbox.Message[placed]) error {
		_, err := tx.Exec(ctx, breakConnection)
		return err
	})
	a, events := b.applier(t), b.land(t, 1, "a")
	for range 5 {
		require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(a.Handle(t.Context(), events)[0]))
	}
	err := a.Handle(t.Context(), events)[0]
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(err))
	require.ErrorContains(t, err, "the handler's connection to the database broke 6 times in a row: SQLSTATE 57P01")
}

// The commit can be what breaks it, in a deferred trigger for instance.
func TestAMessageThatBreaksItsConnectionAtTheCommit(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	_, err := b.db.Exec(t.Context(), `create function break_connection() returns trigger language plpgsql as
		'begin perform pg_terminate_backend(pg_backend_pid()); return null; end';
		create constraint trigger at_commit after insert on effects deferrable initially deferred for each row execute function break_connection()`)
	require.NoError(t, err)
	inbox.HandleTx(b.router, "orders", "order.placed", "1", write)
	a, events := b.applier(t), b.land(t, 1, "a")
	for range 5 {
		require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(a.Handle(t.Context(), events)[0]))
	}
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(a.Handle(t.Context(), events)[0]))
}

// It is no failure if the connection held in between.
func TestConnectionsThatBreakNowAndThen(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	runs := 0
	inbox.HandleTx(b.router, "orders", "order.placed", "1", func(ctx context.Context, tx pgx.Tx, _ inbox.Message[placed]) error {
		if runs++; runs%5 == 0 {
			return omnibox.Transient(context.DeadlineExceeded)
		}
		_, err := tx.Exec(ctx, breakConnection)
		return err
	})
	a, events := b.applier(t), b.land(t, 1, "a")
	for n := 1; n <= 20; n++ {
		want := omnibox.ClassUnreachable
		if n%5 == 0 {
			want = omnibox.ClassTransient
		}
		err := a.Handle(t.Context(), events)[0]
		require.Equal(t, want, omnibox.ClassOf(err), n)
		require.NotContains(t, err.Error(), "in a row")
	}
}

// In a batch it is found out which message it is.
func TestAMessageThatAlwaysBreaksTheConnectionOfABatch(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.batches(func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error {
		if m.Payload.N != 2 {
			return nil
		}
		_, err := tx.Exec(ctx, breakConnection)
		return err
	})
	a, events := b.applier(t), b.land(t, 3, "a", "b")
	for range 5 {
		for _, err := range a.Handle(t.Context(), events)[:2] { // the first of each key
			require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err))
		}
	}
	errs := a.Handle(t.Context(), events)
	require.Equal(t, []int{1}, b.effects(t, "a"))
	require.Equal(t, []int{1}, b.effects(t, "b"))
	for _, at := range []int{2, 3} { // number 2 of each key
		require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[at]))
		require.ErrorContains(t, errs[at], "in a row")
		require.ErrorIs(t, errs[at+2], omnibox.ErrNotSent)
	}
}
