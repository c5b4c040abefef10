package migrate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store/migrate"
)

func TestUpCreatesATable(t *testing.T) {
	t.Parallel()
	db := database(t)
	r, err := migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	require.Equal(t, []migrate.Applied{
		{Target: "core", Version: 1, Name: "omnibox"},
		{Target: "core", Version: 2, Name: "enqueue"},
		{Target: "public.outbox_events", Version: 1, Name: "table"},
	}, r.Applied)
	require.NoError(t, migrate.Check(t.Context(), db, "outbox_events"))

	again, err := migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	require.Empty(t, again.Applied)

	var id, twice string
	const enqueue = `select omnibox.enqueue('outbox_events', 'orders', 'k1', 'order.placed', 'order', gen_random_uuid(), '{"n":1}', idempotency_key => 'once')`
	require.NoError(t, db.QueryRow(t.Context(), enqueue).Scan(&id))
	require.NoError(t, db.QueryRow(t.Context(), enqueue).Scan(&twice))
	require.Equal(t, id, twice)
}
