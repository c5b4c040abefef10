package devtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/omnibox-go/omnibox/dev/servers"
)

var postgres shared[*servers.Postgres]

// Postgres is the shared server. It cannot be killed; [StartPostgres] gives one
// that can.
func Postgres(tb testing.TB) *servers.Postgres {
	tb.Helper()
	return postgres.get(tb, func(ctx context.Context) (*servers.Postgres, error) {
		if u := os.Getenv(EnvDatabaseURL); u != "" {
			return servers.ExternalPostgres(u), nil
		}
		return servers.StartPostgres(ctx, servers.PostgresOptions{Progress: os.Stderr})
	})
}

// StartPostgres starts a server for this test alone.
func StartPostgres(tb testing.TB, o servers.PostgresOptions) *servers.Postgres {
	tb.Helper()
	s, err := servers.StartPostgres(tb.Context(), o)
	return own(tb, s, err)
}

// Database creates an empty database for the test, drops it at the end even if
// there are connections to it, and returns its URL.
func Database(tb testing.TB) string {
	tb.Helper()
	return DatabaseFrom(tb, "")
}

// DatabaseFrom is [Database] with the content of a template, which is the name or
// the URL of a database that nobody is connected to; see [Template].
func DatabaseFrom(tb testing.TB, template string) string {
	tb.Helper()
	server := Postgres(tb)
	ctx := context.WithoutCancel(tb.Context())
	name, err := createDatabase(ctx, server, template)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := dropDatabase(ctx, server, name); err != nil {
			tb.Error(err)
		}
	})
	return databaseURL(tb, server, name)
}

var templates sync.Map // name to func() (database, error)

// Template creates a database once for a test process and name, lets prepare fill
// it (migrate, as a rule), and returns its URL for [DatabaseFrom]. Copying one
// takes a fraction of the time that migrating takes. prepare must close its
// connections.
func Template(tb testing.TB, name string, prepare func(ctx context.Context, databaseURL string) error) string {
	tb.Helper()
	server := Postgres(tb)
	ctx := context.WithoutCancel(tb.Context())
	once, _ := templates.LoadOrStore(name, sync.OnceValues(func() (string, error) {
		database, err := createDatabase(ctx, server, "")
		if err != nil {
			return "", err
		}
		closeLater(closerFunc(func() error { return dropDatabase(ctx, server, database) }))
		u, err := server.DatabaseURL(database)
		if err != nil {
			return "", err
		}
		return u, prepare(ctx, u)
	}))
	u, err := once.(func() (string, error))()
	if err != nil {
		tb.Fatalf("prepare template %s: %v", name, err)
	}
	return u
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

func databaseURL(tb testing.TB, server *servers.Postgres, name string) string {
	tb.Helper()
	u, err := server.DatabaseURL(name)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

func createDatabase(ctx context.Context, server *servers.Postgres, template string) (string, error) {
	name := "test_" + strings.ToLower(rand.Text()[:16])
	if u, err := url.Parse(template); err == nil && u.Scheme != "" {
		template = strings.TrimPrefix(u.Path, "/")
	}
	statement := fmt.Sprintf("create database %s template %s",
		pgx.Identifier{name}.Sanitize(), pgx.Identifier{cmp.Or(template, "template0")}.Sanitize())
	return name, admin(ctx, server, statement)
}

func dropDatabase(ctx context.Context, server *servers.Postgres, name string) error {
	return admin(ctx, server, fmt.Sprintf("drop database if exists %s with (force)", pgx.Identifier{name}.Sanitize()))
}

// admin runs a statement on a connection of its own. A template may for a moment
// still have the connection of whoever prepared it; then it is tried again.
func admin(ctx context.Context, server *servers.Postgres, statement string) error {
	const objectInUse = "55006"
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := adminOnce(ctx, server.URL(), statement)
		pgErr, ok := errors.AsType[*pgconn.PgError](err)
		if err == nil || !ok || pgErr.Code != objectInUse || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func adminOnce(ctx context.Context, databaseURL, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}
