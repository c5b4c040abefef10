package migrate_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store/migrate"
)

func TestUpCreatesATable(t *testing.T) {
	t.Parallel()
	db := database(t)
	var e *migrate.VersionError
	require.ErrorAs(t, migrate.Check(t.Context(), db, "outbox_events"), &e)
	require.ErrorContains(t, e, "omnibox migrate up")

	r, err := migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	require.Equal(t, []migrate.Applied{
		{Target: "core", Version: 1, Name: "omnibox"},
		{Target: "core", Version: 2, Name: "enqueue"},
		{Target: "core", Version: 3, Name: "workflows"},
		{Target: "core", Version: 4, Name: "blanks"},
		{Target: "core", Version: 5, Name: "inbox"},
		{Target: "public.outbox_events", Version: 1, Name: "table"},
	}, r.Applied)
	require.NoError(t, migrate.Check(t.Context(), db, "outbox_events"))

	again, err := migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	require.Empty(t, again.Applied)
	status, err := migrate.Status(t.Context(), db, migrate.Options{Tables: []string{"outbox_events", "more_events"}})
	require.NoError(t, err)
	require.Equal(t, []migrate.TargetStatus{
		{Target: "core", Have: 5, Want: 5}, {Target: "public.outbox_events", Have: 1, Want: 1}, {Target: "public.more_events", Have: 0, Want: 1},
	}, status)
}

func TestProcessesMigrateOneAtATime(t *testing.T) {
	t.Parallel()
	db := database(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	applied := 0
	for range 6 {
		wg.Go(func() {
			r, err := migrate.Up(t.Context(), db, migrate.Options{})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			applied += len(r.Applied)
		})
	}
	wg.Wait()
	require.Equal(t, 6, applied)
}

func TestANewerSchemaIsLeftAlone(t *testing.T) {
	t.Parallel()
	db := database(t)
	_, err := migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), "insert into omnibox.version_core (version_id, is_applied) values (99, true)")
	require.NoError(t, err)
	for _, err := range []error{
		migrate.Check(t.Context(), db, "outbox_events"),
		func() error { _, err := migrate.Up(t.Context(), db, migrate.Options{}); return err }(),
	} {
		var e *migrate.VersionError
		require.ErrorAs(t, err, &e)
		require.True(t, e.Newer())
		require.ErrorContains(t, err, "upgrade the binary")
	}
}

// trap: 41
func TestNamesNeverCollideWhenPostgresCutsThem(t *testing.T) {
	t.Parallel()
	db := database(t)
	_, err := db.Exec(t.Context(), `create schema a; create schema a_b; create schema "Mixed ""Case"`)
	require.NoError(t, err)
	long := strings.Repeat("x", 62)
	tables := []string{
		long + "a", long + "b", "a." + long + "a", "a.b_c", "a_b.c", `Mixed "Case.The Table's`, "ünïcödé_" + strings.Repeat("ö", 25),
	}
	_, err = migrate.Up(t.Context(), db, migrate.Options{Tables: tables})
	require.NoError(t, err)
	for i, name := range tables {
		require.NoError(t, migrate.Check(t.Context(), db, name))
		_, err := db.Exec(t.Context(), `select omnibox.enqueue($1::text::regclass, 't', 'k', 'e', 'a', gen_random_uuid(), '{"a":1}')`, quote(name))
		require.NoError(t, err)
		var seq, indexes, checks int
		require.NoError(t, db.QueryRow(t.Context(), fmt.Sprintf(`select seq,
			(select count(*) from pg_index where indrelid = e.tableoid),
			(select count(*) from pg_constraint where conrelid = e.tableoid and contype = 'c') from %s e`, quote(name))).Scan(&seq, &indexes, &checks))
		require.Equal(t, []int{1, 6, 3}, []int{seq, indexes, checks}, "table %d has its own of everything", i)
	}
	var cut int
	require.NoError(t, db.QueryRow(t.Context(), `select count(*) from pg_class where relname like 'xxx%' and relname !~ '[ab]$' and relname !~ '_[0-9a-f]{8}_[a-z_]+$'
		and relkind in ('i', 'S') and relname !~ '_pkey[0-9]*$'`).Scan(&cut))
	require.Zero(t, cut, "a cut name has a hash")
	var versions int
	require.NoError(t, db.QueryRow(t.Context(), "select count(*) from pg_tables where schemaname = 'omnibox' and tablename like 'version_%'").Scan(&versions))
	require.Equal(t, len(tables)+1, versions)
}

func quote(name string) string { return pgx.Identifier(strings.Split(name, ".")).Sanitize() }

func TestBadTableNamesAreRefused(t *testing.T) {
	t.Parallel()
	db := database(t)
	for name, want := range map[string]string{
		"":                      "not a name",
		"a.b.c":                 "not a name",
		".b":                    "not a name",
		strings.Repeat("x", 64): "at most 63 bytes",
		"omnibox.slots":         "not for tables of events",
	} {
		_, err := migrate.Up(t.Context(), db, migrate.Options{Tables: []string{name}})
		require.ErrorContains(t, err, want, name)
	}
}

// asRole gives a pool under a role of its own.
func asRole(t *testing.T, db *pgxpool.Pool, grants func(role string) string) *pgxpool.Pool {
	t.Helper()
	role := fmt.Sprintf("role_%d_%d", os.Getpid(), rand.Uint32())
	_, err := db.Exec(t.Context(), fmt.Sprintf("create role %s login", role))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := db.Exec(context.Background(), fmt.Sprintf("drop owned by %s cascade; drop role %[1]s", role))
		require.NoError(t, err)
	})
	if text := grants(role); text != "" {
		_, err = db.Exec(t.Context(), text)
		require.NoError(t, err)
	}
	u, err := url.Parse(db.Config().ConnString())
	require.NoError(t, err)
	u.User = url.User(role)
	return connect(t, u.String())
}

func TestWithoutTheRightToCreateTheSchemaTheGrantIsNamed(t *testing.T) {
	t.Parallel()
	db := database(t)
	weak := asRole(t, db, func(string) string { return "" })
	_, err := migrate.Up(t.Context(), weak, migrate.Options{})
	require.ErrorContains(t, err, "grant create on database")

	_, err = db.Exec(t.Context(), fmt.Sprintf("create schema omnibox authorization %s", weak.Config().ConnConfig.User))
	require.NoError(t, err)
	_, err = migrate.Up(t.Context(), weak, migrate.Options{})
	require.ErrorContains(t, err, "must own public.outbox_events, and be able to create in its schema")

	_, err = db.Exec(t.Context(), fmt.Sprintf("grant create on schema public to %s", weak.Config().ConnConfig.User))
	require.NoError(t, err)
	_, err = migrate.Up(t.Context(), weak, migrate.Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
}

// trap: 35
func TestAProducerNeedsNoMoreThanItsGrants(t *testing.T) {
	t.Parallel()
	db := database(t)
	_, err := migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	producer := asRole(t, db, func(role string) string {
		text, err := migrate.Grants(role, migrate.Producer, nil)
		require.NoError(t, err)
		return text
	})
	var id, twice string
	const enqueue = `select omnibox.enqueue('outbox_events', 'orders', 'k1', 'order.placed', 'order', gen_random_uuid(), '{"n":1}', idempotency_key => 'once')`
	require.NoError(t, producer.QueryRow(t.Context(), enqueue).Scan(&id))
	require.NoError(t, producer.QueryRow(t.Context(), enqueue).Scan(&twice))
	require.Equal(t, id, twice)
	for _, forbidden := range []string{
		"select payload from outbox_events", "delete from outbox_events", "update outbox_events set held = true",
		"select * from omnibox.dead_letters", "update omnibox.boxes set notify = false",
	} {
		_, err := producer.Exec(t.Context(), forbidden)
		require.ErrorContains(t, err, "permission denied", forbidden)
	}
	_, err = migrate.Grants("x", "owner", nil)
	require.Error(t, err)
}

func TestAWorkersGrantsSufficeToCheckTheSchema(t *testing.T) {
	t.Parallel()
	db := database(t)
	_, err := migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	worker := asRole(t, db, func(role string) string {
		text, err := migrate.Grants(role, migrate.Worker, nil)
		require.NoError(t, err)
		return text
	})
	require.NoError(t, migrate.Check(t.Context(), worker, "outbox_events"))
}
