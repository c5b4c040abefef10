package store_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/storetest"
)

// The modes without prepared statements are those that work behind a pooler.
func TestContract(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{store.ClaimShard, store.ClaimRow} {
		for _, mode := range []pgx.QueryExecMode{
			pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe,
			pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
		} {
			t.Run(claim+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				storetest.Run(t, func(tb testing.TB) storetest.System { tb.Helper(); return newSystem(tb, claim, mode) })
			})
		}
	}
}

// system is a database under test: worker is how workers see it, bed how the
// test does.
type system struct {
	*bed
	worker *pgxpool.Pool
	claim  string
	group  string // of an inbox
}

func newSystem(t testing.TB, claim string, mode pgx.QueryExecMode) *system {
	t.Helper()
	return systemOn(t, newBed(t), claim, mode)
}

func systemOn(t testing.TB, b *bed, claim string, mode pgx.QueryExecMode) *system {
	t.Helper()
	cfg := b.db.Config()
	cfg.ConnConfig.DefaultQueryExecMode = mode
	worker, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(worker.Close)
	return &system{bed: b, worker: worker, claim: claim}
}

func (s *system) Open(t testing.TB, cfg store.Config) storetest.Store {
	t.Helper()
	return s.open(t, cfg)
}

func (s *system) open(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	cfg.Claim, cfg.Group = s.claim, cmp.Or(cfg.Group, s.group)
	out, err := store.Open(t.Context(), s.worker, cfg)
	require.NoError(t, err)
	return out
}

func (s *system) Lane(t testing.TB, from storetest.Store, cfg store.LaneConfig) storetest.Lane {
	t.Helper()
	out := from.(*store.Store)
	_, err := out.ApplySettings(t.Context(), out.Settings())
	require.NoError(t, err)
	return out.Lane(cfg)
}

// admin is the store through which a person acts.
func (s *system) admin(t testing.TB) *store.Store {
	t.Helper()
	return s.open(t, store.Config{Owner: "admin"})
}

// table is that of events.
func (s *system) table() string {
	if s.group != "" {
		return "inbox_events"
	}
	return "outbox_events"
}

func (s *system) ClaimsRows() bool { return s.claim == store.ClaimRow }

func (s *system) Begin(t testing.TB) storetest.Tx {
	t.Helper()
	tx, err := s.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // a failed test leaves it open, and its pool would not close
	if s.group != "" {
		return otherLander{tx, s.group}
	}
	return producer{tx}
}

type producer struct{ tx pgx.Tx }

func (p producer) Enqueue(t testing.TB, events ...omnibox.Event) []uuid.UUID {
	t.Helper()
	written, err := store.Outbox{}.Enqueue(t.Context(), p.tx, events...)
	require.NoError(t, err)
	var ids []uuid.UUID
	for _, e := range written.Events {
		ids = append(ids, e.ID)
	}
	return ids
}

func (p producer) Commit(t testing.TB) {
	t.Helper()
	require.NoError(t, p.tx.Commit(t.Context()))
}

func (s *system) Expire(t testing.TB) {
	t.Helper()
	s.exec(t, "update omnibox.slots set lease_until = '-infinity'")
	// a row that somebody works on has its lease still
	s.exec(t, fmt.Sprintf(`update %s set lease_until = now() - interval '1 second'
		where id in (select id from %[1]s where lease_until is not null for update skip locked)`, s.table()))
}

func (s *system) Elapse(t testing.TB, d time.Duration) {
	t.Helper()
	s.exec(t, `update `+s.table()+` set created_at = created_at - $1::interval, scheduled_at = scheduled_at - $1::interval,
		lease_until = case when locked_by = 'backoff' then lease_until - $1::interval else lease_until end`, d)
	s.exec(t, `update omnibox.holds set event_created_at = event_created_at - $1::interval`, d)
	s.exec(t, `update omnibox.dead_letters set event_created_at = event_created_at - $1::interval, parked_until = parked_until - $1::interval`, d)
	s.exec(t, `update omnibox.pipelines set workflow_tokens_at = workflow_tokens_at - $1::interval`, d)
}

func (s *system) Row(t testing.TB, id uuid.UUID) (storetest.Row, bool) {
	t.Helper()
	var r storetest.Row
	var until *time.Time
	err := s.db.QueryRow(t.Context(), `select status, attempts_made, max_attempts, fetches, coalesce(last_error, ''),
		coalesce(error_class, ''), scheduled_at, lease_until from `+s.table()+` where id = $1`, [16]byte(id)).
		Scan(&r.Status, &r.Attempts, &r.MaxAttempts, &r.Fetches, &r.LastError, &r.Class, &r.ScheduledAt, &until)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, false
	}
	require.NoError(t, err)
	if until != nil {
		r.LeaseUntil = *until
	}
	return r, true
}

func (s *system) DeadLetters(t testing.TB) []storetest.DeadLetter {
	t.Helper()
	rows, err := s.db.Query(t.Context(), `select event_id, error_class, error, attempts, state = 'open' from omnibox.dead_letters order by id`)
	require.NoError(t, err)
	var out []storetest.DeadLetter
	var d storetest.DeadLetter
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&d.ID), &d.Class, &d.Error, &d.Attempts, &d.Open}, func() error {
		out = append(out, d)
		return nil
	})
	require.NoError(t, err)
	return out
}

func (s *system) Pause(t testing.TB, paused bool) {
	t.Helper()
	admin := s.admin(t)
	var err error
	if paused {
		_, err = admin.Pause(t.Context(), store.PauseParams{By: "test"})
	} else {
		_, err = admin.Resume(t.Context())
	}
	require.NoError(t, err)
}

func (s *system) HoldKey(t testing.TB, key omnibox.OrderKey) {
	t.Helper()
	_, err := s.admin(t).PauseKey(t.Context(), store.PauseKeyParams{Key: key, By: "test"})
	require.NoError(t, err)
}

func (s *system) FreeKey(t testing.TB, key omnibox.OrderKey) {
	t.Helper()
	_, err := s.admin(t).ResumeKey(t.Context(), key)
	require.NoError(t, err)
}

func (s *system) Discard(t testing.TB, id uuid.UUID) {
	t.Helper()
	r, err := s.admin(t).Discard(t.Context(), store.DiscardParams{By: "test", IDs: []store.DeadID{{Event: id}}})
	require.NoError(t, err)
	require.Equal(t, 1, r.Discarded)
}

func (s *system) Replay(t testing.TB, id uuid.UUID) {
	t.Helper()
	r, err := s.admin(t).Replay(t.Context(), store.ReplayParams{By: "test", IDs: []store.DeadID{{Event: id}}})
	require.NoError(t, err)
	require.Equal(t, 1, r.Replayed)
}
