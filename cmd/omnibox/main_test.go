package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/store/migrate"
)

func TestMain(m *testing.M) { devtest.Main(m, goleak.IgnoreCurrent()) }

// cli is a person at a terminal, with a database of their own.
type cli struct {
	config string
	db     *pgxpool.Pool
	// answers are typed when a command asks; none if it is not a terminal.
	answers string
}

// result is what a command left behind.
type result struct {
	code     int
	out, err string
}

// newCLI has one pipeline, named orders, on a fresh database.
func newCLI(t *testing.T) *cli {
	t.Helper()
	return newCLIOn(t, devtest.DatabaseFrom(t, devtest.Template(t, "migrated", func(ctx context.Context, url string) error {
		db, err := pgxpool.New(ctx, url)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = migrate.Up(ctx, db, migrate.Options{})
		return err
	})))
}

func newCLIOn(t *testing.T, url string) *cli {
	t.Helper()
	return &cli{config: writeConfig(t, fmt.Sprintf("databases: { main: { url: %q } }\noutboxes: { orders: {} }\n", url)), db: openPool(t, url)}
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "omnibox.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func openPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	db, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return db
}

// run executes a command line, in which blanks separate words.
func (c *cli) run(t *testing.T, line string) result {
	t.Helper()
	return c.runArgs(t, strings.Fields(line)...)
}

func (c *cli) runArgs(t *testing.T, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(c.answers), out: &out, err: &errs, interactive: c.answers != ""}
	if c.config != "" {
		args = append([]string{"-c", c.config}, args...)
	}
	code := run(t.Context(), a, args)
	r := result{code: code, out: out.String(), err: errs.String()}
	require.NotContains(t, r.out+r.err, "goroutine ", "no stack traces")
	require.NotContains(t, r.err, "Usage:", "no usage dumps")
	return r
}

func (c *cli) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := c.db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (c *cli) text(t *testing.T, sql string, args ...any) string {
	t.Helper()
	var s string
	require.NoError(t, c.db.QueryRow(t.Context(), sql, args...).Scan(&s))
	return s
}

// Ids of the dead events that dead writes.
const (
	deadA = "aaaaaaaa-0000-4000-8000-000000000001"
	deadB = "aaaaaaaa-0000-4000-8000-000000000002"
	deadC = "aaaaaaaa-0000-4000-8000-000000000003"
)

// dead writes three dead events: two transient, and one permanent.
func (c *cli) dead(t *testing.T) {
	t.Helper()
	c.exec(t, `insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload, headers,
			status, attempts_made, last_error, error_class)
		select id, 'orders', 'k' || n, 'order', gen_random_uuid(), 'order.placed', '{"card": "4242"}', '{"tenant": "acme"}',
			'failed', 6, 'Boom: no', case when n = 3 then 'permanent' else 'transient' end
		from unnest($1::uuid[]) with ordinality as u (id, n)`, []string{deadA, deadB, deadC})
	c.exec(t, `insert into omnibox.dead_letters (table_name, pipeline, event_id, event_created_at, topic, partition_key, event_type,
			error, error_class, fingerprint, attempts, first_at)
		select 'public.outbox_events', 'orders', id, created_at, topic, partition_key, event_type, last_error, error_class,
			'f-' || error_class, attempts_made, created_at
		from outbox_events where status = 'failed' order by seq`)
}
