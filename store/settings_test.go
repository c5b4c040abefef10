package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

const (
	waitLong = time.Minute
	poll     = 5 * time.Millisecond
)

func TestRegisterRefusesWorkersThatDiffer(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{Pipeline: "orders"})
	require.NoError(t, b.Register(t.Context(), b.Settings()))
	require.NoError(t, b.Register(t.Context(), b.Settings()), "the same again")

	other := openAdmin(t, b.db, store.Config{Pipeline: "orders", Claim: store.ClaimRow, Lease: 30 * time.Second})
	err := other.Register(t.Context(), other.Settings())
	mismatch, ok := errors.AsType[*store.SettingsMismatchError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, []store.Difference{
		{Key: "claim", Stored: "shard", Configured: "row"},
		{Key: "lease", Stored: "15s", Configured: "30s"},
	}, mismatch.Differences)
	require.ErrorContains(t, err, "claim is shard there and row here, lease is 15s there and 30s here")
	require.ErrorContains(t, err, "omnibox config apply")

	applied, err := other.ApplySettings(t.Context(), other.Settings())
	require.NoError(t, err)
	require.Equal(t, mismatch.Differences, applied.Differences)
	require.NoError(t, other.Register(t.Context(), other.Settings()))
	require.Error(t, b.Register(t.Context(), b.Settings()))
	applied, err = other.ApplySettings(t.Context(), other.Settings())
	require.NoError(t, err)
	require.Empty(t, applied.Differences)
}

func TestOneOfSeveralThatStartAtOnceIsTheFirst(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		s := openAdmin(t, b.db, store.Config{Pipeline: fmt.Sprint("p", i), Lease: time.Duration(10+i) * time.Second})
		wg.Go(func() { errs[i] = s.Register(t.Context(), s.Settings()) })
	}
	wg.Wait()
	first := 0
	for _, err := range errs {
		if err == nil {
			first++
			continue
		}
		_, ok := errors.AsType[*store.SettingsMismatchError](err)
		require.True(t, ok, "%v", err)
	}
	require.Equal(t, 1, first)
}

func TestAPipelineNameIsForOneTable(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	require.NoError(t, b.Register(t.Context(), b.Settings()))
	b.exec(t, "update omnibox.pipelines set table_name = 'public.elsewhere'")
	require.ErrorContains(t, b.Register(t.Context(), b.Settings()), "table is public.elsewhere there and public.outbox_events here")
	_, err := b.ApplySettings(t.Context(), b.Settings())
	require.NoError(t, err)
	require.NoError(t, b.Register(t.Context(), b.Settings()))
}

func TestRegisterWithoutMigration(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	b.exec(t, "delete from omnibox.boxes")
	require.ErrorContains(t, b.Register(t.Context(), b.Settings()), "omnibox migrate up")
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	a := newAdminBox(t, store.Config{})
	first, err := a.Identity(t.Context())
	require.NoError(t, err)
	again, err := a.Identity(t.Context())
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.NotZero(t, first)
}

func TestWorkersAreThoseWithEventsInHand(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	owners, err := b.Workers(t.Context())
	require.NoError(t, err)
	require.Empty(t, owners)

	b.exec(t, "update omnibox.slots set owner = 'w1', lease_until = now() + interval '1 minute' where slot < 3")
	b.exec(t, "update omnibox.slots set owner = 'over', lease_until = now() - interval '1 second', dirty = true where slot = 4")
	ids := b.rows(t, 4)
	for i, owner := range []string{"w2", "workflow:outbox", "backoff", "w3"} {
		b.exec(t, "update outbox_events set locked_by = $2, locked_at = now(), lease_token = 1, lease_until = now() + interval '1 minute' where id = $1", ids[i], owner)
	}
	b.exec(t, "update outbox_events set lease_until = now() - interval '1 second' where id = $1", ids[3])
	owners, err = b.Workers(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"w1", "w2"}, owners)
}
