package migrate_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// database is a pool on a fresh database.
func database(t *testing.T) *pgxpool.Pool {
	t.Helper()
	return connect(t, devtest.Database(t))
}

func connect(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	db, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return db
}
