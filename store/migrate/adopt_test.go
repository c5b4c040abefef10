package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store/migrate"
)

// omniBox is a database with an outbox of omni-box: of every five rows one is
// pending, the first of them is locked by a relay, and one of a hundred failed.
func omniBox(t *testing.T, rows int) *pgxpool.Pool {
	t.Helper()
	db := database(t)
	ddl, err := os.ReadFile("testdata/omni-box.sql")
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), string(ddl))
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type,
			payload, headers, status, attempts_made, max_attempts, scheduled_at, completed_at, created_at, updated_at)
		select gen_random_uuid(), 'orders', 'k' || i % 100, 'order', gen_random_uuid(), 'order.placed',
			jsonb_build_object('n', i), 'null', s.status, case s.status when 'failed' then 6 else 0 end, 6, c.at,
			case s.status when 'completed' then c.at + interval '1 second' end, c.at, c.at
		from generate_series(1, $1) i,
			lateral (select case when i % 5 = 0 then 'pending' when i % 100 = 1 then 'failed' else 'completed' end as status) s,
			-- in another order than the heap's, with ties
			lateral (select timestamptz '2026-01-01' + (i::bigint * 7919 % 1000) * interval '1 second' as at) c`, rows)
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), "vacuum analyze outbox_events")
	require.NoError(t, err)
	return db
}

const pythonInsert = `insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload, headers,
		status, attempts_made, max_attempts, scheduled_at, created_at)
	values (gen_random_uuid(), 'orders', 'k1', 'order', gen_random_uuid(), 'order.placed', '{"late": true}', 'null', 'pending', 0, 6, now(), now())`

// writer inserts as a Python producer does, under a role that owns nothing, and
// notes how long the slowest insert took.
type writer struct {
	stop chan struct{}
	done chan struct{}
	n    int
	max  time.Duration
	err  error
}

func startWriter(t *testing.T, db *pgxpool.Pool) *writer {
	t.Helper()
	role := fmt.Sprintf("python_%d_%d", os.Getpid(), time.Now().UnixNano())
	_, err := db.Exec(t.Context(), fmt.Sprintf("create role %s; grant insert on outbox_events to %[1]s", role))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := db.Exec(context.Background(), fmt.Sprintf("drop owned by %s; drop role %[1]s", role))
		require.NoError(t, err)
	})
	conn, err := pgx.Connect(t.Context(), db.Config().ConnString())
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "set role "+role)
	require.NoError(t, err)
	w := &writer{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		defer conn.Close(context.Background())
		for w.err == nil {
			select {
			case <-w.stop:
				return
			default:
			}
			start := time.Now()
			_, w.err = conn.Exec(context.Background(), pythonInsert)
			w.max = max(w.max, time.Since(start))
			w.n++
		}
	}()
	return w
}

func (w *writer) end(t *testing.T) {
	t.Helper()
	close(w.stop)
	<-w.done
	require.NoError(t, w.err)
	require.Positive(t, w.n)
	t.Logf("the writer made %d inserts, the slowest took %s", w.n, w.max)
}

func filenode(t *testing.T, db *pgxpool.Pool) (node uint32) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), "select pg_relation_filenode('outbox_events')").Scan(&node))
	return node
}

// requireAdopted checks what an adopted table must be.
func requireAdopted(t *testing.T, db *pgxpool.Pool) {
	t.Helper()
	require.NoError(t, migrate.Check(t.Context(), db, "outbox_events"))
	var unnumbered, above, misplaced, slots, invalid, plans int
	require.NoError(t, db.QueryRow(t.Context(), `select
		(select count(*) from outbox_events where status = 'pending' and seq is null),
		(select count(*) from outbox_events where seq >= 1000000000000 and not payload ? 'late'),
		(select count(*) from (
			select seq, lag(seq) over (order by created_at, id) as before from outbox_events
			where status = 'pending' and not payload ? 'late') o where before >= seq),
		(select count(*) from omnibox.slots),
		(select count(*) from pg_index where indrelid = 'outbox_events'::regclass and not indisvalid),
		(select count(*) from pg_tables where schemaname = 'omnibox' and tablename like 'numbering%')`).
		Scan(&unnumbered, &above, &misplaced, &slots, &invalid, &plans))
	require.Zero(t, unnumbered)
	require.Zero(t, above)
	require.Zero(t, misplaced, "pending rows are numbered by (created_at, id)")
	require.Equal(t, 64, slots)
	require.Zero(t, invalid)
	require.Zero(t, plans)
}

func TestAdoptingALiveTable(t *testing.T) {
	t.Parallel()
	rows := 100_000
	if os.Getenv("OMNIBOX_TEST_LARGE") != "" {
		rows = 1_000_000
	}
	db := omniBox(t, rows)
	node := filenode(t, db)

	// A relay of omni-box that publishes: rows locked in an open transaction.
	relay, err := db.Begin(t.Context())
	require.NoError(t, err)
	w := startWriter(t, db)
	start := time.Now()
	var log recorder
	log.on("waiting for rows that a relay holds", func() {
		_, err := relay.Exec(t.Context(), "update outbox_events set status = 'completed', completed_at = now() where locked_by is null and payload->>'n' in ('5', '10')")
		require.NoError(t, err)
		require.NoError(t, relay.Commit(t.Context()))
	})
	// It begins to hold rows once the columns are there: before, it would keep
	// the change of the catalog waiting, which TestAdoptingWaitsForALock is about.
	log.on("numbering", func() {
		_, err := relay.Exec(t.Context(), "select from outbox_events where payload->>'n' in ('5', '10') for update")
		require.NoError(t, err)
	})
	r, err := migrate.Up(t.Context(), db, migrate.Options{Log: slog.New(&log)})
	require.NoError(t, err)
	w.end(t)
	t.Logf("adopting %d rows took %s", rows, time.Since(start))
	require.Equal(t, migrate.Applied{Target: "public.outbox_events", Version: 1, Name: "table", Adopted: true}, r.Applied[len(r.Applied)-1])
	require.Equal(t, node, filenode(t, db), "the table was rewritten")
	require.Positive(t, log.seen("waiting for rows that a relay holds"))
	requireAdopted(t, db)

	// The defaults that omni-box leaves to Python, and times right in any zone.
	var right bool
	require.NoError(t, pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "set local timezone = 'America/New_York'")
		require.NoError(t, err)
		return tx.QueryRow(t.Context(), `insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload)
			values (gen_random_uuid(), 't', 'k', 'a', gen_random_uuid(), 'e', '{"late": 1}')
			returning status = 'pending' and attempts_made = 0 and max_attempts = 6 and scheduled_at = now() and created_at = now() and updated_at = now()
				and seq > 1000000000000 and not held`).Scan(&right)
	}))
	require.True(t, right)
}

func TestAdoptingWaitsForALock(t *testing.T) {
	t.Parallel()
	db := omniBox(t, 100)
	reader, err := db.Begin(t.Context())
	require.NoError(t, err)
	_, err = reader.Exec(t.Context(), "select from outbox_events limit 1")
	require.NoError(t, err)
	var log recorder
	log.on("others use the table, trying again", func() { require.NoError(t, reader.Rollback(t.Context())) })
	_, err = migrate.Up(t.Context(), db, migrate.Options{Log: slog.New(&log)})
	require.NoError(t, err)
	require.Positive(t, log.seen("others use the table, trying again"))
	requireAdopted(t, db)
}

// An adoption that ends anywhere goes on with the next run.
func TestAdoptingGoesOnAfterAnInterruption(t *testing.T) {
	t.Parallel()
	db := omniBox(t, 20_000)
	node := filenode(t, db)
	w := startWriter(t, db)
	interrupted := errors.New("interrupted")
	for _, at := range []string{"adopting a table that is there", "numbering", "numbered a chunk", "numbered pending rows", "building an index, beside the writers"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		var log recorder
		log.on(at, func() { cancel(interrupted) })
		_, err := migrate.Up(ctx, db, migrate.Options{Log: slog.New(&log)})
		require.Error(t, err, at)
		cancel(nil)
		var e *migrate.VersionError
		require.ErrorAs(t, migrate.Check(t.Context(), db, "outbox_events"), &e)
		require.Zero(t, e.Have)
	}
	// What a killed "create index concurrently" leaves behind.
	_, err := db.Exec(t.Context(), "create index outbox_events_due on outbox_events (seq)")
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), "update pg_index set indisvalid = false where indexrelid = 'outbox_events_due'::regclass")
	require.NoError(t, err)
	_, err = migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	w.end(t)
	require.Equal(t, node, filenode(t, db))
	requireAdopted(t, db)
}

func TestARowPutBackMeanwhileComesLast(t *testing.T) {
	t.Parallel()
	db := omniBox(t, 1000)
	var log recorder
	log.on("numbered pending rows", func() {
		_, err := db.Exec(t.Context(), `update outbox_events set status = 'pending', attempts_made = 0, scheduled_at = now(),
			payload = payload || '{"late": true}' where status = 'failed'`)
		require.NoError(t, err)
	})
	_, err := migrate.Up(t.Context(), db, migrate.Options{Log: slog.New(&log)})
	require.NoError(t, err)
	requireAdopted(t, db)
	var last bool
	require.NoError(t, db.QueryRow(t.Context(), "select bool_and(seq >= 1000000000000) from outbox_events where payload ? 'late'").Scan(&last))
	require.True(t, last)
}

func TestAnAdoptedTableIsLikeAFreshOne(t *testing.T) {
	t.Parallel()
	adopted, fresh := omniBox(t, 10), database(t)
	for _, db := range []*pgxpool.Pool{adopted, fresh} {
		_, err := migrate.Up(t.Context(), db, migrate.Options{})
		require.NoError(t, err)
	}
	columns := func(db *pgxpool.Pool) []string {
		rows, err := db.Query(t.Context(), `select a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' '
				|| coalesce(pg_get_expr(d.adbin, d.adrelid), '')
			from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
			where a.attrelid = 'outbox_events'::regclass and a.attnum > 0
			union all select conname || ' ' || pg_get_constraintdef(oid) from pg_constraint where conrelid = 'outbox_events'::regclass
			union all select tgname || ' ' || pg_get_triggerdef(oid) from pg_trigger where tgrelid = 'outbox_events'::regclass
			union all select pg_get_indexdef(indexrelid) from pg_index where indrelid = 'outbox_events'::regclass
				and indexrelid::regclass::text not like 'idx_outbox_events_%' and indexrelid::regclass::text <> 'outbox_events_idempotency'
			order by 1`)
		require.NoError(t, err)
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return all
	}
	require.Equal(t, columns(fresh), columns(adopted))
}

func TestAdoptingRefusesOtherTables(t *testing.T) {
	t.Parallel()
	db := database(t)
	for ddl, want := range map[string]string{
		"create table a (id uuid)": "no column topic, partition_key",
		"create table a (id uuid, created_at timestamptz) partition by range (created_at)": "partitioned tables are not supported yet",
		"create view a as select 1": "it is not a table",
	} {
		_, err := db.Exec(t.Context(), ddl)
		require.NoError(t, err)
		_, err = migrate.Up(t.Context(), db, migrate.Options{Tables: []string{"a"}})
		require.ErrorContains(t, err, want)
		_, err = db.Exec(t.Context(), "drop "+strings.Fields(ddl)[1]+" a")
		require.NoError(t, err)
	}
}

// recorder is a log whose messages a test waits for.
type recorder struct {
	reacts map[string]func()
	counts map[string]*atomic.Int64
}

// on calls react for the first such message, while the migration waits.
func (r *recorder) on(message string, react func()) {
	if r.reacts == nil {
		r.reacts, r.counts = map[string]func(){}, map[string]*atomic.Int64{}
	}
	r.reacts[message], r.counts[message] = react, new(atomic.Int64)
}

func (r *recorder) seen(message string) int64 { return r.counts[message].Load() }

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *recorder) WithGroup(string) slog.Handler            { return r }

func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	if n, ok := r.counts[record.Message]; ok && n.Add(1) == 1 {
		if react := r.reacts[record.Message]; react != nil {
			react()
		}
	}
	return nil
}
