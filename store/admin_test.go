package store_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

// adminBox is a table of events with a store that a person works with.
type adminBox struct {
	*store.Store
	db *pgxpool.Pool
}

func newAdminBox(t *testing.T, cfg store.Config) adminBox {
	t.Helper()
	db := pool(t, outboxURL(t))
	return adminBox{Store: openAdmin(t, db, cfg), db: db}
}

func openAdmin(t *testing.T, db *pgxpool.Pool, cfg store.Config) *store.Store {
	t.Helper()
	cfg.Owner = "test"
	s, err := store.Open(t.Context(), db, cfg)
	require.NoError(t, err)
	return s
}

func (b adminBox) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// get reads one value.
func get[T any](t *testing.T, b adminBox, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, b.db.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

// rows writes n pending rows, ten to a key, and returns their ids in order.
func (b adminBox) rows(t *testing.T, n int) []uuid.UUID {
	t.Helper()
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.New()
	}
	b.exec(t, `insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload)
		select id, 'orders', 'k' || (n - 1) / 10, 'order', gen_random_uuid(), 'order.placed', '{"secret": "hunter2"}'
		from unnest($1::uuid[]) with ordinality as u (id, n)
		order by n`, ids)
	return ids
}

// dead writes n events that have died, as the settling of an event does.
func (b adminBox) dead(t *testing.T, n int) []uuid.UUID {
	t.Helper()
	ids := b.rows(t, n)
	b.die(t, ids)
	return ids
}

func (b adminBox) die(t *testing.T, ids []uuid.UUID) {
	t.Helper()
	b.exec(t, `with died as (
			update outbox_events set status = 'failed', attempts_made = max_attempts, last_error = 'Boom: no', error_class = 'transient'
			where id = any ($1) returning *
		)
		insert into omnibox.dead_letters (table_name, pipeline, event_id, event_created_at, topic, partition_key, event_type,
			error, error_class, fingerprint, attempts, first_at)
		select 'public.outbox_events', 'outbox', id, created_at, topic, partition_key, event_type, last_error, error_class,
			'f-' || error_class, attempts_made, created_at
		from died order by seq`, ids)
}

// waitForLock returns when someone waits for a lock in the database.
func waitForLock(t *testing.T, b adminBox) {
	t.Helper()
	require.Eventually(t, func() bool {
		return get[bool](t, b, "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())")
	}, waitLong, poll)
}
