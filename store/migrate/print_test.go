package migrate_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/store/migrate"
)

// tool finds a client program of Postgres.
func tool(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	require.NoError(t, err)
	if len(found) == 0 {
		t.Skip("there is no " + name + " here")
	}
	return slices.Max(found)
}

// run gives a program's output.
func run(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, name), args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	return string(out)
}

func dump(t *testing.T, db *pgxpool.Pool, args ...string) string {
	t.Helper()
	out := run(t, "", "pg_dump", append(args, db.Config().ConnString())...)
	return regexp.MustCompile(`(?m)^\\(un)?restrict .*\n`).ReplaceAllString(out, "") // a random word
}

func psql(t *testing.T, db *pgxpool.Pool, script string) {
	t.Helper()
	run(t, script, "psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", db.Config().ConnString())
}

func TestPrintIsWhatUpDoes(t *testing.T) {
	t.Parallel()
	opts := migrate.Options{Tables: []string{"outbox_events", "public.more_events"}}
	var script bytes.Buffer
	require.NoError(t, migrate.Print(&script, opts))
	byHand, up := database(t), database(t)
	psql(t, byHand, script.String())
	_, err := migrate.Up(t.Context(), up, opts)
	require.NoError(t, err)
	require.Equal(t, dump(t, up, "--schema-only"), dump(t, byHand, "--schema-only"))

	r, err := migrate.Up(t.Context(), byHand, opts)
	require.NoError(t, err)
	require.Empty(t, r.Applied)
}

func TestPrintAdopts(t *testing.T) {
	t.Parallel()
	byHand, up := omniBox(t, 10_000), omniBox(t, 10_000)
	var script bytes.Buffer
	require.NoError(t, migrate.Print(&script, migrate.Options{Adopt: true}))
	psql(t, byHand, script.String())
	requireAdopted(t, byHand)
	_, err := migrate.Up(t.Context(), up, migrate.Options{})
	require.NoError(t, err)
	require.Equal(t, dump(t, up, "--schema-only"), dump(t, byHand, "--schema-only"))
	r, err := migrate.Up(t.Context(), byHand, migrate.Options{})
	require.NoError(t, err)
	require.Empty(t, r.Applied)
}

// trap: 8
func TestARestoredDumpLosesNothing(t *testing.T) {
	t.Parallel()
	db := database(t)
	_, err := migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	const enqueue = `select omnibox.enqueue('outbox_events', 'orders', 'k' || i % 10, 'e', 'a', gen_random_uuid(), jsonb_build_object('n', i)) from generate_series(1, 100) i`
	_, err = db.Exec(t.Context(), enqueue)
	require.NoError(t, err)

	restored := connect(t, devtest.StartPostgres(t, servers.PostgresOptions{}).URL())
	psql(t, restored, dump(t, db))
	require.NoError(t, migrate.Check(t.Context(), restored, "outbox_events"))
	r, err := migrate.Up(t.Context(), restored, migrate.Options{})
	require.NoError(t, err)
	require.Empty(t, r.Applied)
	// Every row is due in its slot, and new ones are numbered behind them.
	_, err = restored.Exec(t.Context(), enqueue)
	require.NoError(t, err)
	var due, disorder int
	require.NoError(t, restored.QueryRow(t.Context(), `select (
			select count(*) from omnibox.slots s join outbox_events e
				on hashtextextended(e.partition_key, hashtextextended(e.topic, 0)) & 63 = s.slot
			where s.table_name = 'public.outbox_events' and e.status = 'pending' and not e.held and e.scheduled_at - e.created_at <= interval '1 second'),
		(select count(*) from (select seq, lag(seq) over (partition by partition_key order by created_at, (payload->>'n')::int) before from outbox_events) o
			where before >= seq)`).Scan(&due, &disorder))
	require.Equal(t, 200, due)
	require.Zero(t, disorder)
}
