package store_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{Pipeline: "orders"})
	calm, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Zero(t, calm.Backlog)
	require.Zero(t, calm.Lag)
	require.Len(t, calm.Slots, omnibox.Slots)

	ids := b.rows(t, 40)
	b.exec(t, "update outbox_events set scheduled_at = now() + interval '1 hour' where id = any ($1)", ids[:3])
	b.exec(t, "update outbox_events set created_at = now() - interval '1 hour', scheduled_at = now() - interval '2 minutes' where id = any ($1)", ids[3:5])
	b.exec(t, "update outbox_events set held = true where id = any ($1)", ids[10:20])
	b.exec(t, `update outbox_events set lease_until = now() + interval '1 hour', lease_token = 1, locked_at = now(), locked_by = 'w'
		where id = $1`, ids[20])
	b.exec(t, `insert into omnibox.holds (table_name, topic, partition_key, reason, since) values
		('public.outbox_events', 'orders', 'k1', 'retry', now() - interval '1 minute'),
		('public.outbox_events', 'orders', 'k9', 'paused', now())`)
	b.die(t, ids[38:])
	b.exec(t, `update omnibox.slots set owner = 'w', lease_until = now() + interval '1 minute', dirty = true where slot = 5`)
	_, err = b.Pause(t.Context(), store.PauseParams{By: "ann"})
	require.NoError(t, err)

	got, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, "public.outbox_events", got.Table)
	require.Equal(t, "ann", got.Paused.By)
	require.Equal(t, store.Count{N: 25}, got.Backlog)
	require.Equal(t, store.Count{N: 3}, got.Scheduled)
	require.GreaterOrEqual(t, got.Lag, 2*time.Minute)
	require.Less(t, got.Lag, 3*time.Minute)
	require.Equal(t, store.Count{N: 1}, got.Leased)
	require.Equal(t, store.Count{N: 10}, got.Held)
	require.Equal(t, []store.HoldCount{{Reason: "paused", Keys: store.Count{N: 1}}, {Reason: "retry", Keys: store.Count{N: 1}}}, got.Holds)
	require.Equal(t, "k1", got.OldestHolds[0].PartitionKey)
	require.Equal(t, 10, got.OldestHolds[0].Waiting)
	require.Equal(t, []store.DeadCount{{ErrorClass: omnibox.ClassTransient, Letters: store.Count{N: 2}}}, got.Dead)
	require.Equal(t, "w", got.Slots[5].Owner)
	require.True(t, got.Slots[5].Held)
	require.True(t, got.Slots[5].Dirty)
	require.False(t, got.Slots[6].Held)
	require.Nil(t, got.Slots[6].Until)
}

func TestStatusCountsUpToACap(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	b.rows(t, 10_001)
	got, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, ">10000", got.Backlog.String())
}

// trap: 31
func TestStatusCostDoesNotDependOnTheTable(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	b.exec(t, `insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload, status, completed_at, held, scheduled_at)
		select gen_random_uuid(), 'orders', 'k' || n % 1000, 'order', gen_random_uuid(), 'order.placed', '{"n": 1}',
			case when n % 2 = 0 then 'completed' else 'pending' end, case when n % 2 = 0 then now() end, n % 8 = 1,
			case when n % 8 = 3 then now() + interval '1 day' else now() end
		from generate_series(1, 200000) n`)
	b.exec(t, "vacuum analyze outbox_events")
	b.exec(t, "insert into omnibox.slots (table_name, slot) select 'other' || n, n % 64 from generate_series(1, 20000) n") // with few, all are on a page, and scanned
	b.exec(t, "vacuum analyze omnibox.slots")
	for name, args := range map[string]pgx.StrictNamedArgs{
		"status_backlog":         {"cap": 10_000},
		"status_rows":            {"cap": 10_000},
		"status_workflows":       {"cap": 10_000, "table": "public.outbox_events", "pipeline": "orders", "workflow": "workflow:orders"},
		"status_workflow_events": {"limit": 5, "table": "public.outbox_events", "pipeline": "orders", "workflow": "workflow:orders"},
		"doctor_topics":          {},
		"lease_owners":           {"table": "public.outbox_events"},
	} {
		statement, err := os.ReadFile("sql/" + name + ".sql")
		require.NoError(t, err)
		plan, buffers := explain(t, b, strings.ReplaceAll(string(statement), "{{table}}", "outbox_events"), args)
		require.NotContains(t, plan, `"Seq Scan"`, name)
		require.Less(t, buffers, 2000.0, name) // the whole table has some 7,000
		t.Logf("%s: %v buffers", name, buffers)
	}
}

// explain runs a statement and returns its plan and how many buffers it read.
func explain(t *testing.T, b adminBox, statement string, args pgx.StrictNamedArgs) (string, float64) {
	t.Helper()
	var plan json.RawMessage
	text, values, err := args.RewriteQuery(context.Background(), nil, statement, nil)
	require.NoError(t, err)
	require.NoError(t, b.db.QueryRow(t.Context(), "explain (analyze, buffers, format json) "+text, values...).Scan(&plan))
	var top []struct {
		Plan struct {
			Hit  float64 `json:"Shared Hit Blocks"`
			Read float64 `json:"Shared Read Blocks"`
		}
	}
	require.NoError(t, json.Unmarshal(plan, &top))
	return string(plan), top[0].Plan.Hit + top[0].Plan.Read
}

func TestStatusOfEventsWithWorkflows(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{Pipeline: "orders"})
	calm, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Zero(t, calm.Workflows)
	require.Equal(t, 20, calm.Workflows.Budget.Left(calm.Now, 60, 20), "none was used: it is full")

	ids := b.rows(t, 20)
	b.exec(t, `update outbox_events set lease_until = now() + interval '1 minute', lease_token = 1, locked_at = now(), locked_by = 'workflow:orders'
		where id = any ($1)`, ids[:5])
	b.exec(t, `update outbox_events set error_class = 'transient', attempts_made = 2, scheduled_at = now() + interval '30 seconds' where id = any ($1)`, ids[:2])
	b.exec(t, `update outbox_events set lease_until = now() - interval '1 second' where id = $1`, ids[4])
	b.exec(t, `update outbox_events set lease_until = now() + interval '1 minute', lease_token = 1, locked_at = now(), locked_by = 'workflow:returns'
		where id = $1`, ids[5])
	b.die(t, ids[10:14])
	b.exec(t, `update omnibox.dead_letters set pipeline = 'orders', parked_until = now() + interval '1 day' where event_id = any ($1)`, ids[10:12])
	b.exec(t, `update omnibox.dead_letters set pipeline = 'orders', parked_until = now() - interval '1 day' where event_id = $1`, ids[12])
	b.exec(t, `update omnibox.dead_letters set pipeline = 'returns', parked_until = now() + interval '1 day' where event_id = $1`, ids[13])
	b.exec(t, `insert into omnibox.pipelines (name, table_name, workflow_tokens, workflow_tokens_at)
		values ('orders', 'public.outbox_events', 3.5, now() - interval '6 seconds')`)

	got, err := b.Status(t.Context())
	require.NoError(t, err)
	w := got.Workflows
	require.Equal(t, store.Count{N: 2}, w.InFlight)
	require.Equal(t, store.Count{N: 2}, w.Retrying)
	require.Equal(t, store.Count{N: 2}, w.Parked)
	require.Equal(t, 9, w.Budget.Left(w.Budget.At.Add(6*time.Second), 60, 20))
	require.Equal(t, 20, w.Budget.Left(w.Budget.At.Add(time.Hour), 60, 20))
	require.Len(t, w.Events, 4)
	parked := 0
	for _, e := range w.Events {
		if e.Parked {
			parked++
			require.Contains(t, ids[10:12], e.EventID)
			continue
		}
		require.Contains(t, ids[:2], e.EventID)
		require.Equal(t, 2, e.Attempts)
	}
	require.Equal(t, 2, parked)

	shown, err := b.ShowDead(t.Context(), store.ShowDeadParams{ID: store.DeadID{Event: ids[10]}})
	require.NoError(t, err)
	require.WithinDuration(t, got.Now.Add(24*time.Hour), *shown.Letters[0].ParkedUntil, time.Minute)
	shown, err = b.ShowDead(t.Context(), store.ShowDeadParams{ID: store.DeadID{Event: ids[12]}})
	require.NoError(t, err)
	require.Nil(t, shown.Letters[0].ParkedUntil, "it waits no longer")
	shown, err = b.ShowDead(t.Context(), store.ShowDeadParams{ID: store.DeadID{Event: ids[0]}})
	require.NoError(t, err)
	require.NotNil(t, shown.Row.LeaseUntil)
	list, err := b.ListDead(t.Context(), store.ListDeadParams{})
	require.NoError(t, err)
	require.Len(t, list.Letters, 4)
}
