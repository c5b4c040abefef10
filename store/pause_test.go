package store_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{Pipeline: "orders"})
	first, err := b.Pause(t.Context(), store.PauseParams{By: "ann", Reason: "broker moves"})
	require.NoError(t, err)
	require.True(t, first.Changed)
	require.Equal(t, "ann", first.Pause.By)

	again, err := b.Pause(t.Context(), store.PauseParams{By: "bob"})
	require.NoError(t, err)
	require.False(t, again.Changed)
	require.Equal(t, first.Pause, again.Pause, "the first pause stays")

	resumed, err := b.Resume(t.Context())
	require.NoError(t, err)
	require.Equal(t, &first.Pause, resumed.Pause)
	resumed, err = b.Resume(t.Context())
	require.NoError(t, err)
	require.Nil(t, resumed.Pause)

	second, err := b.Pause(t.Context(), store.PauseParams{By: "bob"})
	require.NoError(t, err)
	require.True(t, second.Changed)
	require.Equal(t, "bob", second.Pause.By)
	require.Empty(t, second.Pause.Reason)
}

func TestPauseAndResumeAKey(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	b.rows(t, 20)
	key := omnibox.OrderKey{Topic: "orders", Key: "k0"}

	first, err := b.PauseKey(t.Context(), store.PauseKeyParams{Key: key, By: "ann"})
	require.NoError(t, err)
	require.True(t, first.Changed)
	again, err := b.PauseKey(t.Context(), store.PauseKeyParams{Key: key, By: "bob"})
	require.NoError(t, err)
	require.False(t, again.Changed)
	require.Equal(t, first.Pause, again.Pause)

	b.exec(t, "update outbox_events set held = true where partition_key in ('k0', 'k1')") // as a fetch does
	free, err := b.ResumeKey(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, &first.Pause, free.Pause)
	require.Equal(t, 10, free.Freed)
	require.Equal(t, 10, get[int](t, b, "select count(*) from outbox_events where held"), "the other key's rows stay marked")

	free, err = b.ResumeKey(t.Context(), key)
	require.NoError(t, err)
	require.Nil(t, free.Pause)
	require.Zero(t, free.Freed)
}

func TestAKeyHeldForARetryStaysHeld(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	b.rows(t, 10)
	key := omnibox.OrderKey{Topic: "orders", Key: "k0"}
	_, err := b.PauseKey(t.Context(), store.PauseKeyParams{Key: key, By: "ann"})
	require.NoError(t, err)
	b.exec(t, "insert into omnibox.holds (table_name, topic, partition_key, reason) values ('public.outbox_events', 'orders', 'k0', 'retry')")
	b.exec(t, "update outbox_events set held = true")
	free, err := b.ResumeKey(t.Context(), key)
	require.NoError(t, err)
	require.NotNil(t, free.Pause)
	require.Zero(t, free.Freed)
	require.Equal(t, 10, get[int](t, b, "select count(*) from outbox_events where held"))
}

// A fetch that marks rows locks the hold for share; a release that took the
// hold away meanwhile must see those marks:
//
//  1. fetch locks the hold for share and marks rows
//  2. resume deletes the hold: waits
//  3. fetch commits
//  4. resume clears the marks, also those of 1
func TestResumeKeySeesTheMarksOfAFetchUnderWay(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	b.rows(t, 10)
	key := omnibox.OrderKey{Topic: "orders", Key: "k0"}
	_, err := b.PauseKey(t.Context(), store.PauseKeyParams{Key: key, By: "ann"})
	require.NoError(t, err)

	freed := make(chan int, 1)
	err = pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "select from omnibox.holds for share"); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), "update outbox_events set held = true"); err != nil {
			return err
		}
		go func() {
			got, err := b.ResumeKey(t.Context(), key)
			if err != nil {
				got.Freed = -1
			}
			freed <- got.Freed
		}()
		waitForLock(t, b)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 10, <-freed)
	require.Zero(t, get[int](t, b, "select count(*) from outbox_events where held"))
}
