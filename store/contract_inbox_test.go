package store_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/store/storetest"
)

// inboxBed is a database with one inbox.
func inboxBed(t testing.TB, partitioned bool) *bed {
	t.Helper()
	name := "inbox"
	if partitioned {
		name = "partitioned inbox"
	}
	url := devtest.DatabaseFrom(t, devtest.Template(t, name, func(ctx context.Context, url string) error {
		db, err := pgxpool.New(ctx, url)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = migrate.Up(ctx, db, migrate.Options{Inboxes: []string{"inbox_events"}, Partitioned: partitioned})
		return err
	}))
	return &bed{db: pool(t, url)}
}

// What holds for a table of events holds for an inbox; every second one will do.
func TestInboxContract(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{store.ClaimShard, store.ClaimRow} {
		for name, partitioned := range map[string]bool{"plain": false, "partitioned": true} {
			t.Run(claim+"/"+name, func(t *testing.T) {
				t.Parallel()
				open := func(tb testing.TB) *system {
					tb.Helper()
					s := systemOn(tb, inboxBed(tb, partitioned), claim, pgx.QueryExecModeCacheStatement)
					s.group = "billing"
					return s
				}
				storetest.RunInbox(t, func(tb testing.TB) storetest.InboxSystem { tb.Helper(); return open(tb) })
				if partitioned == (claim == store.ClaimShard) {
					storetest.Run(t, func(tb testing.TB) storetest.System { tb.Helper(); return open(tb) })
				}
			})
		}
	}
}

// The modes without prepared statements are those that work behind a pooler.
func TestInboxContractBehindAPooler(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			storetest.RunInbox(t, func(tb testing.TB) storetest.InboxSystem {
				tb.Helper()
				s := systemOn(tb, inboxBed(tb, false), store.ClaimShard, mode)
				s.group = "billing"
				return s
			})
		})
	}
}

func (s *system) OpenInbox(t testing.TB, cfg store.Config) storetest.Inbox {
	t.Helper()
	return s.open(t, cfg)
}

func (s *system) Blocked(t testing.TB) bool {
	t.Helper()
	return one[bool](t, s.bed, `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`)
}

// otherLander writes to an inbox in a transaction of its own, as another program
// could that knows our columns.
type otherLander struct {
	tx    pgx.Tx
	group string
}

func (l otherLander) Enqueue(t testing.TB, events ...omnibox.Event) []uuid.UUID {
	t.Helper()
	prepared, err := omnibox.Prepare(events...)
	require.NoError(t, err)
	var ids []uuid.UUID
	for i := range prepared {
		e := &prepared[i]
		payload, _ := e.Payload.(json.RawMessage)
		if e.Body != nil {
			payload = json.RawMessage(`{"content_type": "bytes"}`)
		}
		var headers, scheduled any
		if len(e.Headers) > 0 {
			text, err := json.Marshal(e.Headers)
			require.NoError(t, err)
			headers = string(text)
		}
		if !e.ScheduledAt.IsZero() {
			scheduled = e.ScheduledAt
		}
		_, err := l.tx.Exec(t.Context(), `insert into inbox_events (id, message_id, consumer_group, source, topic, partition_key, aggregate_type, aggregate_id,
				event_type, payload, headers, body, content_type, schema_version, trace_id, correlation_id, causation_id, idempotency_key, max_attempts, created_at, scheduled_at)
			select $1::text::uuid, $1::text, $2, 'shop', $3, $4, $5, $6::text::uuid, $7, $8::jsonb, $9::jsonb, $10, nullif($11, ''), nullif($12, ''), nullif($13, ''), nullif($14, ''), nullif($15, ''),
				nullif($16, ''), $17, c.now, least(greatest($18::timestamptz, c.now), c.now + interval '365 days')
			from (select clock_timestamp() as now) c`,
			e.ID.String(), l.group, e.Topic, e.Key, e.Aggregate.Type, e.Aggregate.ID.String(), e.Type, string(payload), headers, e.Body, e.ContentType,
			e.SchemaVersion, e.TraceID, e.CorrelationID, e.CausationID, e.IdempotencyKey, e.MaxAttempts, scheduled)
		require.NoError(t, err)
		ids = append(ids, e.ID)
	}
	return ids
}

func (l otherLander) Commit(t testing.TB) {
	t.Helper()
	require.NoError(t, l.tx.Commit(t.Context()))
}
