package store_test

import (
	"math"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// bed is a database with one table of events.
type bed struct {
	db *pgxpool.Pool
}

func newBed(t testing.TB) *bed {
	t.Helper()
	db, err := pgxpool.New(t.Context(), outboxURL(t))
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return &bed{db: db}
}

// open opens a store on the table; the zero Config is owned by "w1".
func (b *bed) open(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	if cfg.Owner == "" {
		cfg.Owner = "w1"
	}
	s, err := store.Open(t.Context(), b.db, cfg)
	require.NoError(t, err)
	return s
}

func claim(t testing.TB, s *store.Store) omnibox.Claim {
	t.Helper()
	c, err := s.Claim(t.Context(), allSlots())
	require.NoError(t, err)
	return c
}

func allSlots() []int {
	slots := make([]int, omnibox.Slots)
	for i := range slots {
		slots[i] = i
	}
	return slots
}

// enqueue writes an event for each key.
func (b *bed) enqueue(t testing.TB, keys ...string) []uuid.UUID {
	t.Helper()
	events := make([]omnibox.Event, len(keys))
	for i, key := range keys {
		events[i] = event(key, i)
	}
	return b.write(t, events...)
}

func (b *bed) write(t testing.TB, events ...omnibox.Event) []uuid.UUID {
	t.Helper()
	var ids []uuid.UUID
	err := pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
		written, err := store.Outbox{}.Enqueue(t.Context(), tx, events...)
		for _, e := range written.Events {
			ids = append(ids, e.ID)
		}
		return err
	})
	require.NoError(t, err)
	return ids
}

func event(key string, n int) omnibox.Event {
	return omnibox.Event{
		Topic: "orders", Key: key, Type: "order.placed",
		Aggregate: omnibox.Aggregate{Type: "order", ID: uuid.New()},
		Payload:   map[string]any{"n": n, "text": "a: b, c"},
	}
}

func (b *bed) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// one reads a single value.
func one[T any](t testing.TB, b *bed, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, b.db.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

func fetch(t testing.TB, c omnibox.Claim, n int) []omnibox.Event {
	t.Helper()
	events, _, err := c.Fetch(t.Context(), n)
	require.NoError(t, err)
	return events
}

// fetchAll reads to the end.
func fetchAll(t testing.TB, c omnibox.Claim, n int) []omnibox.Event {
	t.Helper()
	var all []omnibox.Event
	for {
		events, more, err := c.Fetch(t.Context(), n)
		require.NoError(t, err)
		require.LessOrEqual(t, len(events), n)
		all = append(all, events...)
		if !more {
			return all
		}
	}
}

func completed(events ...omnibox.Event) []omnibox.Outcome {
	out := make([]omnibox.Outcome, len(events))
	for i := range events {
		out[i] = omnibox.Outcome{Event: &events[i], Verdict: omnibox.Completed}
	}
	return out
}

func idsOf(events []omnibox.Event) []uuid.UUID {
	ids := make([]uuid.UUID, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	return ids
}

// fill writes n plain rows straight away, many keys each.
func (b *bed) fill(t testing.TB, n int) {
	t.Helper()
	b.exec(t, `insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload, headers, created_at, scheduled_at)
		select gen_random_uuid(), 'orders', 'key-' || g % 1000, 'order', gen_random_uuid(), 'order.placed',
			jsonb_build_object('n', g, 'text', repeat('x', 220)), '{"a":"b"}', now(), now()
		from generate_series(1, $1::int) g`, n)
	b.exec(t, "vacuum analyze outbox_events")
}

func requireInOrder(t testing.TB, events []omnibox.Event) {
	t.Helper()
	last := map[omnibox.OrderKey]int64{}
	for _, e := range events {
		before, seen := last[e.OrderKey()]
		if !seen {
			before = math.MinInt64
		}
		require.Greater(t, e.Seq, before, "key %s", e.Key)
		last[e.OrderKey()] = e.Seq
	}
}
