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

// readPlan explains the first read of a claim; the second explanation, since the
// first one may find what a vacuum has left to do.
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
	sql, args := b.open(t, store.Config{}).ReadForTest(allSlots(), 8, 500)
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
