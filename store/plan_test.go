package store_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

// Every statement fits the schema.
func TestEveryStatementPrepares(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bed *bed
		cfg store.Config
	}{
		"outbox":            {newBed(t), store.Config{}},
		"inbox":             {inboxBed(t, false), store.Config{Group: "billing"}},
		"partitioned inbox": {inboxBed(t, true), store.Config{Group: "billing"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := pgx.Connect(t.Context(), c.bed.db.Config().ConnString())
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
			for name, sql := range c.bed.open(t, c.cfg).StatementsForTest() {
				if name == "land" && strings.Contains(t.Name(), "partitioned") {
					continue // there land_keyed takes its place
				}
				text, _, err := pgx.NamedArgs{}.RewriteQuery(t.Context(), conn, sql, nil)
				require.NoError(t, err, name)
				_, err = conn.Prepare(t.Context(), name, text)
				require.NoError(t, err, name)
				require.True(t, strings.HasPrefix(sql, "-- "), "%s says what it is for", name)
				require.NotContains(t, sql, "{{", name)
			}
		})
	}
}

// What a fetch costs does not depend on what is in the table beside what it
// returns.
// trap: 31
func TestFetchCostsTheSameAtAnySize(t *testing.T) {
	t.Parallel()
	small, smallPlan := readPlan(t, 10_000, true)
	large, plan := readPlan(t, 200_000, true)
	t.Logf("buffers: %d at 10,000 pending, %d at 200,000", small, large)
	require.LessOrEqual(t, float64(large), 1.3*float64(small), plan)
	require.NotRegexp(t, "Seq Scan|Bitmap", smallPlan)
	require.NotRegexp(t, "Seq Scan|Bitmap", plan)
}

// The statistics are those of a table in which nothing is pending.
// trap: 31
func TestFetchKeepsItsPlanWhenStatisticsAreOld(t *testing.T) {
	t.Parallel()
	large, plan := readPlan(t, 100_000, false)
	require.Less(t, large, 3000, plan) // dead entries cost a little, a scan fifty times as much
	require.NotContains(t, plan, `Seq Scan`)
	require.NotContains(t, plan, `Bitmap`)
}

// fillMixed writes n immediate pending rows, and half as many scheduled, held
// and completed ones.
func (b *bed) fillMixed(t testing.TB, n int) {
	t.Helper()
	b.exec(t, `insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload,
			created_at, scheduled_at, status, completed_at, held)
		select gen_random_uuid(), 'orders', 'key-' || g % 997, 'order', gen_random_uuid(), 'order.placed',
			jsonb_build_object('n', g, 'text', repeat('x', 220)), now(),
			case when g % 12 = 8 then now() + interval '1 hour' else now() end,
			case when g % 12 = 11 then 'completed' else 'pending' end,
			case when g % 12 = 11 then now() end,
			g % 12 in (9, 10)
		from generate_series(1, 3 * $1::int / 2) g`, n)
}

// readPlan explains the first read of a claim.
func readPlan(t testing.TB, n int, analyzed bool) (buffers int, plan string) {
	t.Helper()
	b := newBed(t)
	b.exec(t, "alter table outbox_events set (autovacuum_enabled = false)")
	b.exec(t, `insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload, status, completed_at)
		select gen_random_uuid(), 'orders', 'key', 'order', gen_random_uuid(), 'order.placed', '{"n":1}', 'completed', now()
		from generate_series(1, 1000)`)
	b.exec(t, "vacuum analyze outbox_events")
	b.fillMixed(t, n)
	if analyzed {
		b.exec(t, "vacuum analyze outbox_events")
	}
	return b.explainRead(t, b.open(t, store.Config{}))
}

// explainRead explains the first read of a claim twice, since the first may find
// what a vacuum has left to do.
func (b *bed) explainRead(t testing.TB, s *store.Store) (buffers int, plan string) {
	t.Helper()
	sql, args := s.ReadForTest(allSlots(), 8, 500)
	tx := b.begin(t)
	_, err := tx.Exec(t.Context(), store.ByIndexForTest)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, tx.QueryRow(t.Context(), "explain (analyze, buffers, format json) "+sql, args).Scan(&plan))
	}
	var parsed []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(plan), &parsed))
	return parsed[0].Plan.Hit + parsed[0].Plan.Read, plan
}

// What is in an inbox beside what is due costs a fetch nothing either, in
// partitions or not.
//
// trap: 31
func TestInboxFetchCostsTheSameAtAnySize(t *testing.T) {
	t.Parallel()
	for _, partitioned := range []bool{false, true} {
		b := inboxBed(t, partitioned)
		s := b.inbox(t, store.Config{})
		var small int
		for _, n := range []int{10_000, 90_000} { // the last month has a tenth, the rest is of this one
			b.exec(t, `insert into inbox_events (id, message_id, consumer_group, source, topic, partition_key, event_type, payload, status, completed_at, created_at, scheduled_at)
				select gen_random_uuid(), gen_random_uuid(), 'billing', 'shop', 'orders', 'key-' || g % 997, 'order.placed', jsonb_build_object('n', g, 'text', repeat('x', 220)),
					case when g % 3 = 0 then 'completed' else 'pending' end, case when g % 3 = 0 then at end, at, at
				from generate_series(1, $1::int) g, lateral (select now() - case when g % 10 = 1 then interval '31 days' else interval '0' end as at) c`, n)
			b.exec(t, "vacuum analyze inbox_events")
			buffers, plan := b.explainRead(t, s)
			t.Logf("partitioned=%v, %d more: %d buffers", partitioned, n, buffers)
			require.NotRegexp(t, "Seq Scan|Bitmap", plan)
			if small == 0 {
				small = buffers
			}
			require.LessOrEqual(t, float64(buffers), 1.4*float64(small), plan)
		}
	}
}
