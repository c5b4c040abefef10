package memstore

import (
	"cmp"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/storetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(testing.TB) storetest.System { return system{New()} })
}

func TestInboxContract(t *testing.T) {
	t.Parallel()
	storetest.RunInbox(t, func(testing.TB) storetest.InboxSystem { return system{New()} })
}

// system is a table under test.
type system struct{ table *Table }

func (s system) Open(_ testing.TB, cfg store.Config) storetest.Store { return s.table.Open(cfg) }
func (s system) Lane(_ testing.TB, from storetest.Store, cfg store.LaneConfig) storetest.Lane {
	return from.(*Store).Lane(cfg)
}

func (s system) OpenInbox(t testing.TB, cfg store.Config) storetest.Inbox {
	t.Helper()
	cfg.Group = cmp.Or(cfg.Group, "billing")
	return s.table.Open(cfg)
}

func (s system) Blocked(testing.TB) bool {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	return s.table.waiting > 0
}

func (s system) ClaimsRows() bool                           { return false }
func (s system) Begin(testing.TB) storetest.Tx              { return tx{s.table.Begin()} }
func (s system) Expire(testing.TB)                          { s.table.Expire() }
func (s system) Elapse(_ testing.TB, d time.Duration)       { s.table.Elapse(d) }
func (s system) Pause(_ testing.TB, paused bool)            { s.table.Pause(paused) }
func (s system) HoldKey(_ testing.TB, key omnibox.OrderKey) { s.table.HoldKey(key) }
func (s system) FreeKey(_ testing.TB, key omnibox.OrderKey) { s.table.FreeKey(key) }

func (s system) Replay(t testing.TB, id uuid.UUID) {
	t.Helper()
	require.True(t, s.table.Replay(id))
}

func (s system) Discard(t testing.TB, id uuid.UUID) {
	t.Helper()
	require.NoError(t, s.table.Open(store.Config{Owner: "admin"}).Lane(store.LaneConfig{}).Discard(t.Context(), omnibox.Ref{ID: id}, "test", ""))
}

func (s system) Row(_ testing.TB, id uuid.UUID) (storetest.Row, bool) {
	r, ok := s.table.Row(id)
	return storetest.Row{
		Status: r.Status, Attempts: r.Attempts, MaxAttempts: r.MaxAttempts, Fetches: r.Fetches,
		LastError: r.LastError, Class: r.Class, ScheduledAt: r.ScheduledAt, LeaseUntil: r.LeaseUntil,
	}, ok
}

func (s system) DeadLetters(testing.TB) []storetest.DeadLetter {
	var out []storetest.DeadLetter
	for _, d := range s.table.DeadLetters() {
		out = append(out, storetest.DeadLetter{ID: d.ID, Class: d.Class, Error: d.Error, Attempts: d.Attempts, Open: d.Open})
	}
	return out
}

type tx struct{ *Tx }

func (x tx) Enqueue(_ testing.TB, events ...omnibox.Event) []uuid.UUID {
	var ids []uuid.UUID
	for _, e := range x.Tx.Enqueue(events...) {
		ids = append(ids, e.ID)
	}
	return ids
}

func (x tx) Commit(testing.TB) { x.Tx.Commit() }
