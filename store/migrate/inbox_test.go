package migrate_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store/migrate"
)

// pythonLands is how omni-box writes a message that it has received.
const pythonLands = `insert into inbox_events (id, event_type, payload, headers, status, attempts_made, max_attempts, scheduled_at, created_at,
		message_id, consumer_group, source)
	values (gen_random_uuid(), 'order.placed', '{"late": true}', 'null', 'pending', 0, 6, now(), now(), $1, 'billing', 'orders')
	on conflict (message_id, consumer_group) do nothing`

// omniBoxInbox is a database with an inbox of omni-box: of every ten rows one is
// pending and one is dead.
func omniBoxInbox(t *testing.T, rows int) *pgxpool.Pool {
	t.Helper()
	db := database(t)
	ddl, err := os.ReadFile("testdata/omni-box-inbox.sql")
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), string(ddl))
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `insert into inbox_events (id, event_type, payload, headers, status, attempts_made, max_attempts, scheduled_at,
			completed_at, created_at, message_id, consumer_group, source)
		select gen_random_uuid(), 'order.placed', jsonb_build_object('n', i), 'null', s.status, case s.status when 'failed' then 6 else 0 end, 6, c.at,
			case s.status when 'completed' then c.at end, c.at, 'm' || i, 'billing', 'orders'
		from generate_series(1, $1) i,
			lateral (select case i % 10 when 0 then 'pending' when 1 then 'failed' else 'completed' end as status) s,
			lateral (select timestamptz '2026-01-01' + (i::bigint * 7919 % 1000) * interval '1 second' as at) c`, rows)
	require.NoError(t, err)
	return db
}

var inboxes = migrate.Options{Inboxes: []string{"inbox_events"}}

func TestUpCreatesAnInbox(t *testing.T) {
	t.Parallel()
	db := database(t)
	var v *migrate.VersionError
	require.ErrorAs(t, migrate.CheckInbox(t.Context(), db, "inbox_events"), &v)
	r, err := migrate.Up(t.Context(), db, inboxes)
	require.NoError(t, err)
	require.Equal(t, migrate.Applied{Target: "public.inbox_events", Version: 1, Name: "table"}, r.Applied[len(r.Applied)-1])
	require.NoError(t, migrate.CheckInbox(t.Context(), db, "inbox_events"))
	require.Equal(t, []string{
		"idx_inbox_deduplication", "inbox_events_due", "inbox_events_held", "inbox_events_leased", "inbox_events_pkey", "inbox_events_scheduled",
	}, indexesOf(t, db, "inbox_events"), "each index costs landing speed")
	_, err = migrate.Up(t.Context(), db, migrate.Options{Inboxes: []string{"a_inbox", "inbox_events"}})
	require.NoError(t, err)
	require.Contains(t, indexesOf(t, db, "a_inbox"), "idx_a_inbox_deduplication")

	// A message that omni-box lands waits for nobody; one that has a key keeps it.
	_, err = db.Exec(t.Context(), pythonLands, "m1")
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), strings.NewReplacer("source)", "source, topic, partition_key)", "'orders')", "'orders', 'paid', 'k')").Replace(pythonLands), "m2")
	require.NoError(t, err)
	var places string
	require.NoError(t, db.QueryRow(t.Context(), "select string_agg(seq || ' ' || topic || ' ' || partition_key, ', ' order by seq) from inbox_events").Scan(&places))
	require.Equal(t, "1 orders m1, 2 paid k", places)
}

func indexesOf(t *testing.T, db *pgxpool.Pool, table string) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), "select indexrelid::regclass::text from pg_index where indrelid = $1::text::regclass order by 1", table)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return names
}

func TestATableIsOfOneKind(t *testing.T) {
	t.Parallel()
	db := database(t)
	_, err := migrate.Up(t.Context(), db, migrate.Options{Tables: []string{"outbox_events"}, Inboxes: []string{"inbox_events"}})
	require.NoError(t, err)
	for _, err := range []error{
		migrate.Check(t.Context(), db, "inbox_events"),
		migrate.CheckInbox(t.Context(), db, "outbox_events"),
		func() error {
			_, err := migrate.Up(t.Context(), db, migrate.Options{Inboxes: []string{"outbox_events"}})
			return err
		}(),
		func() error {
			_, err := migrate.Up(t.Context(), db, migrate.Options{Tables: []string{"new_events"}, Inboxes: []string{"new_events"}})
			return err
		}(),
	} {
		var e *migrate.KindError
		require.ErrorAs(t, err, &e)
	}
	require.ErrorContains(t, migrate.Check(t.Context(), db, "inbox_events"),
		"public.inbox_events is an inbox, not an outbox: name it among the inboxes, or take another table")
}

func TestAdoptingALiveInbox(t *testing.T) {
	t.Parallel()
	db := omniBoxInbox(t, 20_000)
	var node, after uint32
	require.NoError(t, db.QueryRow(t.Context(), "select pg_relation_filenode('inbox_events')").Scan(&node))
	var log recorder
	log.on("numbering", func() { // omni-box goes on to land
		_, err := db.Exec(t.Context(), pythonLands, "late")
		require.NoError(t, err)
	})
	opts := inboxes
	opts.Log = slog.New(&log)
	r, err := migrate.Up(t.Context(), db, opts)
	require.NoError(t, err)
	require.True(t, r.Applied[len(r.Applied)-1].Adopted)
	require.NoError(t, db.QueryRow(t.Context(), "select pg_relation_filenode('inbox_events')").Scan(&after))
	require.Equal(t, node, after, "the table was rewritten")
	require.NoError(t, migrate.CheckInbox(t.Context(), db, "inbox_events"))
	var numbered, ordered, misplaced, late int
	require.NoError(t, db.QueryRow(t.Context(), `select
		count(*) filter (where seq < 1000000000000),
		count(*) filter (where topic = 'orders' and partition_key = message_id),
		(select count(*) from (select seq, lag(seq) over (order by created_at, id) as before from inbox_events
			where status <> 'completed' and message_id <> 'late') o where before >= seq),
		count(*) filter (where message_id = 'late' and seq >= 1000000000000)
		from inbox_events where status <> 'completed'`).Scan(&numbered, &ordered, &misplaced, &late))
	require.Equal(t, []int{4000, 4001, 0, 1}, []int{numbered, ordered, misplaced, late})
}

func TestAnAdoptedInboxIsLikeAFreshOne(t *testing.T) {
	t.Parallel()
	adopted, fresh := omniBoxInbox(t, 10), database(t)
	var all [2][]string
	for i, db := range []*pgxpool.Pool{adopted, fresh} {
		_, err := migrate.Up(t.Context(), db, inboxes)
		require.NoError(t, err)
		rows, err := db.Query(t.Context(), `select a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' '
				|| coalesce(pg_get_expr(d.adbin, d.adrelid), '')
			from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
			where a.attrelid = 'inbox_events'::regclass and a.attnum > 0
			union all select conname || ' ' || pg_get_constraintdef(oid) from pg_constraint where conrelid = 'inbox_events'::regclass
			union all select tgname || ' ' || pg_get_triggerdef(oid) from pg_trigger where tgrelid = 'inbox_events'::regclass
			union all select pg_get_indexdef(indexrelid) from pg_index where indrelid = 'inbox_events'::regclass
				and indexrelid::regclass::text not like 'idx_inbox_events_%'
			order by 1`)
		require.NoError(t, err)
		all[i], err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
	}
	require.Equal(t, all[1], all[0])
}

func TestAnInboxWithoutItsUniqueIndexGetsOne(t *testing.T) {
	t.Parallel()
	db := omniBoxInbox(t, 10)
	_, err := db.Exec(t.Context(), "drop index idx_inbox_deduplication")
	require.NoError(t, err)
	_, err = migrate.Up(t.Context(), db, inboxes)
	require.NoError(t, err)
	require.Contains(t, indexesOf(t, db, "inbox_events"), "idx_inbox_deduplication")
}

func TestAPartitionedInbox(t *testing.T) {
	t.Parallel()
	db := database(t)
	opts := migrate.Options{Inboxes: []string{"inbox_events", strings.Repeat("x", 60)}, Partitioned: true}
	_, err := migrate.Up(t.Context(), db, opts)
	require.NoError(t, err)
	require.NoError(t, migrate.CheckInbox(t.Context(), db, "inbox_events"))
	require.Len(t, indexesOf(t, db, "inbox_events"), 5)
	for _, table := range opts.Inboxes {
		for at, want := range map[string]string{
			"now()":                       "to_char(now() at time zone 'UTC', '_pYYYYMM')",
			"now() + interval '1 month'":  "to_char((now() at time zone 'UTC') + interval '1 month', '_pYYYYMM')",
			"now() - interval '3 months'": "'_default'",
		} {
			var ok bool
			require.NoError(t, db.QueryRow(t.Context(), fmt.Sprintf(`insert into %s (id, event_type, payload, created_at, message_id, consumer_group, source)
				values (gen_random_uuid(), 'e', '{"a":1}', %s, gen_random_uuid(), 'g', 's') returning tableoid::regclass::text like '%%' || %s`, table, at, want)).Scan(&ok))
			require.True(t, ok, at)
		}
	}
	again, err := migrate.Up(t.Context(), db, migrate.Options{Inboxes: opts.Inboxes})
	require.NoError(t, err)
	require.Empty(t, again.Applied)
}

func TestAdoptingRefusesOtherInboxes(t *testing.T) {
	t.Parallel()
	db := omniBoxInbox(t, 1)
	_, err := db.Exec(t.Context(), `create table partitioned (like inbox_events) partition by range (created_at);
		create table outbox (id uuid, topic text)`)
	require.NoError(t, err)
	for want, opts := range map[string]migrate.Options{
		"a partitioned inbox cannot be adopted":                                  {Inboxes: []string{"partitioned"}},
		"not an inbox of omni-box: no column message_id, consumer_group, source": {Inboxes: []string{"outbox"}},
		"it is there and not partitioned":                                        {Inboxes: []string{"inbox_events"}, Partitioned: true},
	} {
		_, err = migrate.Up(t.Context(), db, opts)
		require.ErrorContains(t, err, want)
	}
}

func TestPrintIsWhatUpDoesForInboxes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts  migrate.Options
		adopt bool
	}{
		"fresh":       {opts: migrate.Options{Tables: []string{"outbox_events"}, Inboxes: []string{"inbox_events"}}},
		"partitioned": {opts: migrate.Options{Inboxes: []string{"inbox_events"}, Partitioned: true}},
		"adopted":     {opts: inboxes, adopt: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var byHand, up *pgxpool.Pool
			if c.adopt {
				byHand, up = omniBoxInbox(t, 5000), omniBoxInbox(t, 5000)
			} else {
				byHand, up = database(t), database(t)
			}
			printed := c.opts
			printed.Adopt = c.adopt
			var script bytes.Buffer
			require.NoError(t, migrate.Print(&script, printed))
			psql(t, byHand, script.String())
			_, err := migrate.Up(t.Context(), up, c.opts)
			require.NoError(t, err)
			require.Equal(t, dump(t, up, "--schema-only"), dump(t, byHand, "--schema-only"))
			r, err := migrate.Up(t.Context(), byHand, c.opts)
			require.NoError(t, err)
			require.Empty(t, r.Applied)
		})
	}
}

func TestGrantsOfAnInbox(t *testing.T) {
	t.Parallel()
	text, err := migrate.Grants("w", migrate.Worker, nil, "inbox_events")
	require.NoError(t, err)
	require.Contains(t, text, `grant select, insert, update, delete on "public"."inbox_events" to "w"`)
	require.NotContains(t, text, "outbox_events")
	_, err = migrate.Grants("w", migrate.Producer, nil, "inbox_events")
	require.ErrorContains(t, err, "public.inbox_events is an inbox: no producer writes to it")
}
