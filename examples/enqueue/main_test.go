package main

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/store/migrate"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestOrderAndEventAreWrittenTogetherOrNotAtAll(t *testing.T) {
	url := devtest.Database(t)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	defer pool.Close()
	_, err = migrate.Up(t.Context(), pool, migrate.Options{})
	require.NoError(t, err)
	require.NoError(t, run(t.Context(), url))

	count := func() (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from orders o
			join outbox_events e on e.aggregate_id = o.id and e.partition_key = o.id::text and (e.payload->>'total')::numeric = o.total
			where e.topic = 'orders' and e.status = 'pending'`).Scan(&n))
		return n
	}
	require.Equal(t, 2, count())

	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	bad := Order{ID: uuid.New(), Total: "a lot"} // not a number
	require.Error(t, Place(t.Context(), pool, bad))
	require.Error(t, PlaceSQL(t.Context(), db, bad))
	unfit := Order{ID: uuid.Nil, Total: "1"} // the event is refused, after the order was inserted
	require.Error(t, Place(t.Context(), pool, unfit))
	require.Error(t, PlaceSQL(t.Context(), db, unfit))
	require.Equal(t, 2, count())
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), "select count(*) from orders").Scan(&n))
	require.Equal(t, 2, n)
}
