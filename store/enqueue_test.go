package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // driver pgx
	_ "github.com/lib/pq"              // driver postgres
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
)

// outboxURL is a database with the table outbox_events.
func outboxURL(tb testing.TB) string {
	tb.Helper()
	return devtest.DatabaseFrom(tb, devtest.Template(tb, "outbox", func(ctx context.Context, url string) error {
		db, err := pgxpool.New(ctx, url)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = migrate.Up(ctx, db, migrate.Options{})
		return err
	}))
}

func pool(tb testing.TB, url string) *pgxpool.Pool {
	tb.Helper()
	db, err := pgxpool.New(tb.Context(), url)
	require.NoError(tb, err)
	tb.Cleanup(db.Close)
	return db
}

func order(n int) omnibox.Event {
	return omnibox.Event{
		Topic: "orders", Key: fmt.Sprintf("k%d", n%10), Type: "order.placed",
		Aggregate: omnibox.Aggregate{Type: "order", ID: uuid.New()}, Payload: map[string]int{"n": n},
	}
}

func orders(n int) []omnibox.Event {
	all := make([]omnibox.Event, n)
	for i := range all {
		all[i] = order(i)
	}
	return all
}

// enqueue commits events in a transaction of their own.
func enqueue(t *testing.T, db *pgxpool.Pool, events ...omnibox.Event) []store.EnqueuedEvent {
	t.Helper()
	var got store.Enqueued
	err := pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
		var err error
		got, err = store.Outbox{}.Enqueue(t.Context(), tx, events...)
		return err
	})
	require.NoError(t, err)
	return got.Events
}

// via runs a test through every way to reach the database.
func via(t *testing.T, run func(t *testing.T, db *pgxpool.Pool, enqueue func(...omnibox.Event) ([]store.EnqueuedEvent, error))) {
	t.Helper()
	modes := []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	}
	for _, mode := range modes {
		t.Run("pgx "+mode.String(), func(t *testing.T) {
			t.Parallel()
			cfg, err := pgxpool.ParseConfig(outboxURL(t))
			require.NoError(t, err)
			cfg.ConnConfig.DefaultQueryExecMode = mode
			db, err := pgxpool.NewWithConfig(t.Context(), cfg)
			require.NoError(t, err)
			t.Cleanup(db.Close)
			run(t, db, func(events ...omnibox.Event) (out []store.EnqueuedEvent, err error) {
				err = pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
					got, err := store.Outbox{}.Enqueue(t.Context(), tx, events...)
					out = got.Events
					return err
				})
				return out, err
			})
		})
	}
	for _, driver := range []string{"pgx", "postgres"} {
		t.Run("database/sql "+driver, func(t *testing.T) {
			t.Parallel()
			url := outboxURL(t)
			db, err := sql.Open(driver, url)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			run(t, pool(t, url), func(events ...omnibox.Event) ([]store.EnqueuedEvent, error) {
				tx, err := db.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				got, err := store.Outbox{}.EnqueueSQL(t.Context(), tx, events...)
				if err != nil {
					return nil, errors.Join(err, tx.Rollback())
				}
				return got.Events, tx.Commit()
			})
		})
	}
}

func TestEnqueueWritesWhatWasGiven(t *testing.T) {
	t.Parallel()
	via(t, func(t *testing.T, db *pgxpool.Pool, enqueue func(...omnibox.Event) ([]store.EnqueuedEvent, error)) {
		t.Helper()
		at := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
		full := omnibox.Event{
			ID: uuid.New(), Topic: ` a"b\c{},NULL `, Key: `\`, Type: "'quoted'", Aggregate: omnibox.Aggregate{Type: "ü", ID: uuid.New()},
			Payload: json.RawMessage(`{"a": "x\"\\\n\u0001\ud83d\ude00", "n": 1.50, "big": 12345678901234567890.0}`),
			Headers: map[string]string{"h": `"v\`, "NULL": "NULL"}, SchemaVersion: "1", TraceID: "NULL", CorrelationID: "c,d", CausationID: "e",
			IdempotencyKey: `"`, ScheduledAt: at, MaxAttempts: 3,
		}
		body := order(2)
		body.Payload, body.Body, body.ContentType = nil, []byte{0, '\\', '"', 0xff}, `x/"y"`
		got, err := enqueue(full, body)
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.Equal(t, full.ID, got[0].ID)

		var row struct {
			topic, key, kind, aggregate, payload, version, trace, correlation, causation, idempotency, status string
			headers                                                                                           map[string]string
			scheduled                                                                                         time.Time
			most                                                                                              int
		}
		require.NoError(t, db.QueryRow(t.Context(), `select topic, partition_key, event_type, aggregate_type, payload::text, schema_version,
			trace_id, correlation_id, causation_id, idempotency_key, status, headers, scheduled_at, max_attempts
			from outbox_events where id = $1`, full.ID).Scan(&row.topic, &row.key, &row.kind, &row.aggregate, &row.payload, &row.version,
			&row.trace, &row.correlation, &row.causation, &row.idempotency, &row.status, &row.headers, &row.scheduled, &row.most))
		require.Equal(t, `a"b\c{},NULL`, row.topic)
		require.Equal(t, `\`, row.key)
		require.Equal(t, []string{"'quoted'", "ü", "1", "NULL", "c,d", "e", `"`, "pending"},
			[]string{row.kind, row.aggregate, row.version, row.trace, row.correlation, row.causation, row.idempotency, row.status})
		require.Equal(t, `{"a": "x\"\\\n\u0001😀", "n": 1.50, "big": 12345678901234567890.0}`, row.payload) //nolint:testifylint // digits count
		require.Equal(t, full.Headers, row.headers)
		require.True(t, at.Equal(row.scheduled))
		require.Equal(t, 3, row.most)

		var bytes []byte
		var placeholder, contentType string
		var absent bool
		require.NoError(t, db.QueryRow(t.Context(), `select body, payload::text, content_type, headers is null and trace_id is null and
			scheduled_at = created_at and updated_at = created_at and idempotency_key is null from outbox_events where id = $1`,
			got[1].ID).Scan(&bytes, &placeholder, &contentType, &absent))
		require.Equal(t, body.Body, bytes)
		require.Equal(t, `x/"y"`, contentType)
		require.JSONEq(t, `{"content_type": "x/\"y\""}`, placeholder)
		require.True(t, absent)
	})
}

func TestEnqueueNumbersInInputOrder(t *testing.T) {
	t.Parallel()
	via(t, func(t *testing.T, db *pgxpool.Pool, enqueue func(...omnibox.Event) ([]store.EnqueuedEvent, error)) {
		t.Helper()
		given := orders(2000)
		got, err := enqueue(given...)
		require.NoError(t, err)
		for i := 1; i < len(got); i++ {
			require.Equal(t, got[i-1].Seq+1, got[i].Seq)
			require.True(t, got[i-1].CreatedAt.Before(got[i].CreatedAt), "omni-box orders by created_at")
		}
		rows, err := db.Query(t.Context(), "select (payload->>'n')::int from outbox_events order by seq")
		require.NoError(t, err)
		numbers, err := pgx.CollectRows(rows, pgx.RowTo[int])
		require.NoError(t, err)
		require.Len(t, numbers, 2000)
		require.True(t, slices.IsSorted(numbers))
	})
}

func TestEnqueueReportsDuplicates(t *testing.T) {
	t.Parallel()
	via(t, func(t *testing.T, _ *pgxpool.Pool, enqueue func(...omnibox.Event) ([]store.EnqueuedEvent, error)) {
		t.Helper()
		keyed := func(key string) omnibox.Event {
			e := order(1)
			e.ID, e.IdempotencyKey = uuid.New(), key
			return e
		}
		a, b, c, d := keyed("x"), keyed("y"), keyed("x"), keyed("")
		first, err := enqueue(a)
		require.NoError(t, err)
		require.False(t, first[0].Duplicate)

		same, err := enqueue(a) // the very same event, id and all
		require.NoError(t, err)
		require.True(t, same[0].Duplicate)

		got, err := enqueue(b, c, keyed("y"), d)
		require.NoError(t, err)
		require.Equal(t, []bool{false, true, true, false}, []bool{got[0].Duplicate, got[1].Duplicate, got[2].Duplicate, got[3].Duplicate})
		require.Equal(t, first[0].ID, got[1].ID)
		require.Equal(t, first[0].Seq, got[1].Seq)
		require.True(t, first[0].CreatedAt.Equal(got[1].CreatedAt))
		require.Equal(t, b.ID, got[2].ID)
	})
}

// trap: 28
func TestEnqueueTakesNoOtherViolationForADuplicate(t *testing.T) {
	t.Parallel()
	via(t, func(t *testing.T, db *pgxpool.Pool, enqueue func(...omnibox.Event) ([]store.EnqueuedEvent, error)) {
		t.Helper()
		e := order(1)
		e.ID = uuid.New()
		_, err := enqueue(e)
		require.NoError(t, err)
		_, err = enqueue(order(2), e)
		require.ErrorIs(t, err, store.ErrEventExists)

		_, err = db.Exec(t.Context(), "alter table outbox_events add constraint no_rush check (max_attempts <> 7)")
		require.NoError(t, err)
		rushed := order(3)
		rushed.MaxAttempts, rushed.IdempotencyKey = 7, "x"
		_, err = enqueue(rushed)
		require.ErrorContains(t, err, "no_rush")
	})
}

// Beside another relay a body would be lost: that one sends the payload.
func TestBodiesAreRefusedWhereRowsAreClaimed(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	body := event("k", 1)
	body.Payload, body.Body, body.ContentType = nil, []byte{1, 2}, "application/x-protobuf"
	write := func(e omnibox.Event) error {
		return pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
			_, err := store.Outbox{}.Enqueue(t.Context(), tx, e)
			return err
		})
	}
	require.NoError(t, write(body))
	s := b.open(t, store.Config{Claim: store.ClaimRow})
	require.NoError(t, s.Register(t.Context(), s.Settings()))
	require.ErrorContains(t, write(body), "claim: row")
	require.NoError(t, write(event("k", 2)), "JSON goes on")
}

func TestEnqueueOfNothing(t *testing.T) {
	t.Parallel()
	via(t, func(t *testing.T, _ *pgxpool.Pool, enqueue func(...omnibox.Event) ([]store.EnqueuedEvent, error)) {
		t.Helper()
		got, err := enqueue()
		require.NoError(t, err)
		require.Empty(t, got)
	})
}

func TestEnqueueRefusesBeforeItSends(t *testing.T) {
	t.Parallel()
	db := pool(t, outboxURL(t))
	bad := order(1)
	bad.Topic, bad.Key = "", ""
	err := pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
		_, err := store.Outbox{}.Enqueue(t.Context(), tx, order(0), bad)
		var invalid *omnibox.ValidationError
		require.ErrorAs(t, err, &invalid)
		require.Len(t, invalid.Fields, 2)
		_, err = store.Outbox{}.Enqueue(t.Context(), tx, order(2))
		return err // the transaction is still good
	})
	require.NoError(t, err)
}

func TestEnqueueNamesAMissingTable(t *testing.T) {
	t.Parallel()
	db := pool(t, outboxURL(t))
	err := pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
		_, err := store.Outbox{Table: "app.nowhere"}.Enqueue(t.Context(), tx, order(0))
		return err
	})
	require.ErrorIs(t, err, store.ErrNoTable)
	require.ErrorContains(t, err, "omnibox migrate up")
}

func TestEnqueueIsUndoneByRollback(t *testing.T) {
	t.Parallel()
	db := pool(t, outboxURL(t))
	tx, err := db.Begin(t.Context())
	require.NoError(t, err)
	_, err = store.Outbox{}.Enqueue(t.Context(), tx, orders(3)...)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
	require.Zero(t, count(t, db))
}

func TestEnqueueSplitsWhatIsTooMuchForAStatement(t *testing.T) {
	t.Parallel()
	db := pool(t, outboxURL(t))
	given := orders(80)
	for i := range given {
		given[i].Payload = map[string]string{"a": strings.Repeat("x", 999_000)}
	}
	got := enqueue(t, db, given...)
	require.Len(t, got, 80)
	for i := 1; i < len(got); i++ {
		require.Less(t, got[i-1].Seq, got[i].Seq)
		require.True(t, got[i-1].CreatedAt.Before(got[i].CreatedAt))
	}
	require.Equal(t, 80, count(t, db))
	var statements int
	require.NoError(t, db.QueryRow(t.Context(), "select count(distinct cmin::text) from outbox_events").Scan(&statements))
	require.Equal(t, 2, statements)
}

// What Prepare accepts, the database accepts; what it refuses, jsonb refuses.
func TestPrepareAgreesWithTheDatabase(t *testing.T) {
	t.Parallel()
	db := pool(t, outboxURL(t))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	pieces := []string{
		`\u0000`, `\ud800`, `\udc00`, `\ud83d\ude00`, `\u00e9`, `\u0001`, `\\`, `\"`, `\/`, "é", "x", "\xff", "\x7f", `\ud83d`, `\u`,
	}
	numbers := []string{"1", "-0", "1.50", "1e22", "1e4299", "1e131072", "1e-16383", "1e-16384", "9.99e4299", "-1.5E+3", "01", "0.000e5"}
	for range 500 {
		var text strings.Builder
		for range r.IntN(4) {
			text.WriteString(pieces[r.IntN(len(pieces))])
		}
		e := order(1)
		e.Payload = json.RawMessage(fmt.Sprintf(`{"%s": [%s, "%s"]}`, text.String(), numbers[r.IntN(len(numbers))], text.String()))
		invalid := e.Validate()
		_, err := db.Exec(t.Context(), "select $1::text::jsonb", string(e.Payload.(json.RawMessage)))
		require.Equal(t, err == nil, invalid == nil, "%q: %v, %v", e.Payload, err, invalid)
	}
}

func count(t *testing.T, db *pgxpool.Pool) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), "select count(*) from outbox_events").Scan(&n))
	return n
}
