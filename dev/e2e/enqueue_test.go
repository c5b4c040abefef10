package e2e

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

func TestWhatIsCommittedIsDeliveredAndWhatIsRolledBackIsNot(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.start()
	rollback := errors.New("changed my mind")
	err := pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
		_, err := store.Outbox{}.Enqueue(t.Context(), tx, event("a", 1))
		require.NoError(t, err)
		return rollback
	})
	require.ErrorIs(t, err, rollback)
	b.enqueue(event("a", 2), event("a", 3))
	require.Equal(t, series("a", 2, 3), b.awaitRecords(2))
	b.awaitSettled()
	b.untouched()
}

// A transaction that commits late is behind what reading has come to: its events
// are delivered all the same, while others are not kept waiting.
//
// trap: 1
func TestALateCommitIsDelivered(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.start()
	late := b.begin()
	late.enqueue(event("late", 1))
	b.enqueue(event("early", 1))
	require.Equal(t, []string{"early/1"}, b.awaitRecords(1))
	late.commit()
	require.Equal(t, []string{"early/1", "late/1"}, b.awaitRecords(2))
}

// Transactions that write one key at once have no order of their own: each event
// takes its place when it becomes visible.
//
// trap: 2
func TestOverlappingTransactionsOfAKeyGoByTheirCommits(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.start()
	first := b.begin()
	first.enqueue(event("k", 1))
	second := b.begin()
	second.enqueue(event("k", 2))
	second.commit()
	require.Equal(t, []string{"k/2"}, b.awaitRecords(1))
	first.commit()
	require.Equal(t, []string{"k/2", "k/1"}, b.awaitRecords(2))
}

// With SerializeKeys the second transaction waits, so the order is that of the
// calls.
//
// trap: 2
func TestSerializedTransactionsOfAKeyGoByTheirCalls(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.start()
	first := b.begin()
	first.outbox.SerializeKeys = true
	first.enqueue(event("k", 1))
	second := b.begin()
	second.outbox.SerializeKeys = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		second.enqueue(event("k", 2))
		second.commit()
	}()
	eventually(t, "the second waits", func() bool {
		return ask[int](b, "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'") > 0
	})
	first.commit()
	<-done
	require.Equal(t, series("k", 1, 2), b.awaitRecords(2))
}

// transaction is one that is open for a while.
type transaction struct {
	b      *bed
	tx     pgx.Tx
	outbox store.Outbox
}

func (b *bed) begin() *transaction {
	b.t.Helper()
	tx, err := b.db.Begin(b.t.Context())
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(b.t.Context())) }) // unless it was committed
	return &transaction{b: b, tx: tx}
}

func (x *transaction) enqueue(events ...omnibox.Event) {
	if _, err := x.outbox.Enqueue(x.b.t.Context(), x.tx, events...); err != nil {
		x.b.t.Errorf("enqueue: %v", err)
	}
}

func (x *transaction) commit() {
	if err := x.tx.Commit(x.b.t.Context()); err != nil {
		x.b.t.Errorf("commit: %v", err)
	}
}
