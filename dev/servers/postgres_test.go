package servers_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/servers"
)

func startPostgres(t *testing.T, o servers.PostgresOptions) *servers.Postgres {
	t.Helper()
	p, err := servers.StartPostgres(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func queryInt(t *testing.T, url, query string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&n))
	return n
}

func TestPostgresSurvivesRestartAndCrash(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, servers.PostgresOptions{
		Dir: t.TempDir(), Progress: os.Stderr, Settings: map[string]string{"fsync": "on", "max_connections": "50"},
	})
	conn, err := pgx.Connect(t.Context(), p.URL())
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "create table kept as select 1 as n")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	require.Equal(t, 50, queryInt(t, p.URL(), "select current_setting('max_connections')::int"))

	url, pid := p.URL(), p.Pid()
	require.NoError(t, p.Restart(t.Context()))
	require.Equal(t, url, p.URL())
	require.NotEqual(t, pid, p.Pid())
	require.Equal(t, 1, queryInt(t, url, "select n from kept"))

	require.NoError(t, p.Kill())
	require.Zero(t, p.Pid())
	_, err = pgx.Connect(t.Context(), url)
	require.Error(t, err)
	require.NoError(t, p.Start(t.Context()))
	require.Equal(t, 1, queryInt(t, url, "select n from kept"))
}

func TestPostgresKillEndsBackendsToo(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, servers.PostgresOptions{})
	conn, err := pgx.Connect(t.Context(), p.URL())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "select pg_sleep(60)")
		ended <- err
	}()
	require.NoError(t, p.Kill())
	require.Error(t, <-ended)
	require.NoError(t, ctx.Err(), "the statement went on after the crash")
	require.True(t, conn.IsClosed())
	require.NoError(t, p.Start(t.Context()))
}

func TestPostgresReportsWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	_, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{Settings: map[string]string{"no_such_setting": "1"}})
	require.ErrorContains(t, err, "no_such_setting")
}

// A downloaded version is 40 MB, so it is used only on request.
func TestPostgresDownloaded(t *testing.T) {
	version := os.Getenv("OMNIBOX_TEST_POSTGRES_VERSION")
	if version == "" {
		t.Skip("set OMNIBOX_TEST_POSTGRES_VERSION, such as 18.3.0")
	}
	p := startPostgres(t, servers.PostgresOptions{Version: version, Progress: os.Stderr})
	require.Equal(t, 1, queryInt(t, p.URL(), "select 1"))
}

func TestExternalServersAreLeftAlone(t *testing.T) {
	t.Setenv("OMNIBOX_DATABASE_URL", "postgres://db.example/orders")
	p, err := servers.FindPostgres(t.Context(), servers.PostgresOptions{})
	require.NoError(t, err)
	require.ErrorIs(t, p.Kill(), servers.ErrExternal)
	require.ErrorIs(t, p.Restart(t.Context()), servers.ErrExternal)
	require.NoError(t, p.Start(t.Context()))
	require.NoError(t, p.Stop(t.Context()))
	require.NoError(t, p.Close())
	url, err := p.DatabaseURL("other")
	require.NoError(t, err)
	require.Equal(t, "postgres://db.example/other", url)
}
