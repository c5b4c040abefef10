package demo

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
)

// options let the demo run on the servers that all tests share.
func options(t *testing.T, out *bytes.Buffer) Options {
	t.Helper()
	return Options{
		Out:             out,
		LogDir:          t.TempDir(),
		DatabaseURL:     devtest.Postgres(t).URL(),
		TemporalAddress: devtest.Temporal(t).Address(),
		Brokers:         devtest.Brokers(t),
	}
}

func TestDemoEndsWithEveryPromiseKept(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, Run(t.Context(), options(t, &out)), &out)
	text := out.String()
	for _, want := range []string{
		"had a workflow of their own",
		"events in its history",
		"/outbox/event/",
		"rolled back",
		"event workflows; the budget would have allowed",
		"escalated; its workflow:",
		"delivered at the third attempt",
		"step audit: the audit has no rule for this kind of money",
		"go run ./cmd/omnibox dead replay 1",
		"attempt 3 of 4 has failed",
		"dead after 4 attempts, and parked",
		"--name replay",
		"replayed by demo, and delivered; its workflow has ended",
		"paused, by a signal",
		"events a second",
		"none lost",
		"in order for each of 30 customers",
		"within the budget",
		"2 orders failed, each got a workflow of its own then",
		"0 duplicates",
		"got SIGKILL",
		"takes its place",
		"invoices were written again",
		"messages came again",
		"of pipeline billing: open",
		"place   topic orders-",
		"none was forgotten",
		"none has two",
		"names its order's event as its cause",
		"1 broken message, which is a dead letter now",
		"what was behind it in its partition has its invoice",
		"and were dropped by the inbox",
		"Every promise was kept.",
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "\x1b", "colours are for terminals")
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "://") && !strings.Contains(line, " -c /") {
			require.LessOrEqual(t, len([]rune(line)), 81, line)
		}
	}
}

func TestDemoFailsWhenARecordIsMissing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	o := options(t, &out)
	o.tamper = func(e *evidence) { e.deliveries = slices.Delete(e.deliveries, 7, 8) }
	require.ErrorIs(t, Run(t.Context(), o), ErrNotHeld, &out)
	require.Contains(t, out.String(), "in the topic, 1 lost")
	require.NotContains(t, out.String(), "Every promise was kept.")
}

func TestDemoFailsWhenAnOrderHasTwoInvoices(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	o := options(t, &out)
	o.tamper = func(e *evidence) {
		require.Greater(t, len(e.invoices), 7, &out)
		e.invoices = append(e.invoices, e.invoices[7])
	}
	require.ErrorIs(t, Run(t.Context(), o), ErrNotHeld, &out)
	require.Contains(t, out.String(), "1 invoices or announcements too many")
}

// cancelAt ends a context when a text is written.
type cancelAt struct {
	bytes.Buffer
	text   string
	cancel context.CancelFunc
}

func (c *cancelAt) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.text)) {
		c.cancel()
	}
	return c.Buffer.Write(p)
}

func TestDemoCanBeInterrupted(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"Starting", "Tables", "paused", "SIGKILL", "escalated"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := options(t, nil)
			out := &cancelAt{text: at, cancel: cancel}
			o.Out = out
			require.ErrorIs(t, Run(ctx, o), context.Canceled, out)
			require.Empty(t, databases(t, o.DatabaseURL, databaseOf(out.String())), "the databases are dropped")
		})
	}
}

func TestDemoStaysUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := options(t, nil)
	out := &cancelAt{text: "ask its workflow", cancel: cancel}
	o.Out, o.Stay = out, true
	require.NoError(t, Run(ctx, o), out)
	require.Contains(t, out.String(), "dead replay 2")
}

func TestDemoKeepsLogsOfAFailureOnly(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	o := options(t, &out)
	o.LogDir = ""
	require.ErrorIs(t, Run(ctx, o), context.Canceled)
	require.NotContains(t, out.String(), "Logs are kept")

	o.DatabaseURL = "host=127.0.0.1 dbname=none"
	require.Error(t, Run(t.Context(), o))
	_, dir, found := strings.Cut(out.String(), "Logs are kept in ")
	require.True(t, found)
	require.DirExists(t, strings.TrimSpace(dir))
	require.NoError(t, os.RemoveAll(strings.TrimSpace(dir)))
}

func TestDemoSaysInOneLineWhatIsMissing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	o := options(t, &out)
	o.DatabaseURL = "postgres://nobody@127.0.0.1:1/none?connect_timeout=1"
	err := Run(t.Context(), o)
	require.ErrorContains(t, err, "Postgres: ")
	require.ErrorContains(t, err, "may create databases")
	require.NotContains(t, err.Error(), "\n")

	o.DatabaseURL = "host=127.0.0.1 dbname=none"
	require.ErrorContains(t, Run(t.Context(), o), "is not a URL")
}

// databaseOf is the name of the database that the demo says it uses.
func databaseOf(text string) string {
	_, name, _ := strings.Cut(text, "database demo_")
	name, _, _ = strings.Cut(name, " ")
	return "demo_" + name
}

func databases(t *testing.T, databaseURL, name string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, databaseURL)
	require.NoError(t, err)
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "select datname from pg_database where datname in ($1::text, $1::text || '_billing')", name)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return names
}
