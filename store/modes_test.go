package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
)

// What a start and a person need works behind a pooler, too: there are no
// prepared statements, and parameters are text.
func TestAdministrationInEveryQueryMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			b := newAdminBox(t, store.Config{})
			cfg := b.db.Config()
			cfg.ConnConfig.DefaultQueryExecMode = mode
			db, err := pgxpool.NewWithConfig(t.Context(), cfg)
			require.NoError(t, err)
			t.Cleanup(db.Close)
			administer(t, b, db)
		})
	}
}

func administer(t *testing.T, b adminBox, db *pgxpool.Pool) {
	t.Helper()
	s := openAdmin(t, db, store.Config{})
	require.NoError(t, migrate.Check(t.Context(), db, "outbox_events"))
	require.NoError(t, s.Register(t.Context(), s.Settings()))
	require.NoError(t, s.Register(t.Context(), s.Settings()), "what was written is read back")
	other := openAdmin(t, db, store.Config{Lease: time.Minute})
	applied, err := other.ApplySettings(t.Context(), other.Settings())
	require.NoError(t, err)
	require.Equal(t, []store.Difference{{Key: "lease", Stored: "15s", Configured: "1m0s"}}, applied.Differences)
	_, err = s.Workers(t.Context())
	require.NoError(t, err)
	_, err = s.Identity(t.Context())
	require.NoError(t, err)

	paused, err := s.Pause(t.Context(), store.PauseParams{By: "ann", Reason: "test"})
	require.NoError(t, err)
	require.True(t, paused.Changed)
	key := omnibox.OrderKey{Topic: "orders", Key: "k0"}
	_, err = s.PauseKey(t.Context(), store.PauseKeyParams{Key: key, By: "ann"})
	require.NoError(t, err)
	ids := b.dead(t, 5)
	status, err := s.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, "ann", status.Paused.By)
	require.Equal(t, 5, status.Dead[0].Letters.N)
	require.Len(t, status.OldestHolds, 1)
	_, err = s.ResumeKey(t.Context(), key)
	require.NoError(t, err)
	_, err = s.Resume(t.Context())
	require.NoError(t, err)

	page, err := s.ListDead(t.Context(), store.ListDeadParams{Limit: 2, Filter: store.DeadFilter{Since: time.Now().Add(-time.Hour)}})
	require.NoError(t, err)
	require.Len(t, page.Letters, 2)
	page, err = s.ListDead(t.Context(), store.ListDeadParams{After: *page.Next})
	require.NoError(t, err)
	require.Len(t, page.Letters, 3)
	groups, err := s.SummarizeDead(t.Context(), store.DeadFilter{}, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"order.placed"}, groups[0].Types)
	shown, err := s.ShowDead(t.Context(), store.ShowDeadParams{ID: store.DeadID{Event: ids[0]}, Payload: true})
	require.NoError(t, err)
	require.JSONEq(t, `{"secret": "hunter2"}`, string(*shown.Row.Payload))

	dry, err := s.Replay(t.Context(), store.ReplayParams{By: "ann", DryRun: true, Limit: 4})
	require.NoError(t, err)
	require.Equal(t, 4, dry.Replayed)
	byID, err := s.Replay(t.Context(), store.ReplayParams{By: "ann", IDs: []store.DeadID{{Event: ids[0]}}})
	require.NoError(t, err)
	require.Equal(t, 1, byID.Replayed, byID.Refused)
	discarded, err := s.Discard(t.Context(), store.DiscardParams{By: "ann", Note: "test", IDs: []store.DeadID{{Event: ids[1]}}})
	require.NoError(t, err)
	require.Equal(t, 1, discarded.Discarded, discarded.Refused)
	all, err := s.Replay(t.Context(), store.ReplayParams{By: "ann"})
	require.NoError(t, err)
	require.Equal(t, 3, all.Replayed)

	topics, err := s.Topics(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"orders"}, topics)
	checks, err := other.Doctor(t.Context())
	require.NoError(t, err)
	for _, c := range checks {
		require.Equal(t, store.HealthOK, c.State, "%+v", c)
	}
}
