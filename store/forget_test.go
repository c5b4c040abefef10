package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

// trap: 25
func TestOldMessagesAreForgottenUnlessTheyArePending(t *testing.T) {
	t.Parallel()
	for name, partitioned := range map[string]bool{"deleted": false, "partitioned": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newEffects(t, partitioned)
			s := b.inbox(t, store.Config{OnComplete: "delete"})
			land(t, s, messages(4)...)
			events := fetchAll(t, claim(t, s), 10)
			require.NoError(t, s.Complete(t.Context(), refs(events[:2]), b.write))
			b.exec(t, "update omnibox.inbox_keys set landed_at = landed_at - interval '2 hours'")
			b.exec(t, "update inbox_events set created_at = created_at - interval '2 hours', scheduled_at = now()")

			n, err := s.ForgetKeys(t.Context(), 3*time.Hour)
			require.NoError(t, err)
			require.Zero(t, n, "none is that old")
			n, err = s.ForgetKeys(t.Context(), time.Hour)
			require.NoError(t, err)
			require.Equal(t, 2, n, "the others are pending")
			require.Equal(t, store.Landed{New: 2, Duplicates: 2}, land(t, s, messages(4)...))
		})
	}
}

func TestWhoRemembersByKeys(t *testing.T) {
	t.Parallel()
	b := inboxBed(t, false)
	keyed := func(cfg store.Config) bool {
		yes, err := b.inbox(t, cfg).RemembersByKeys(t.Context())
		require.NoError(t, err)
		return yes
	}
	require.False(t, keyed(store.Config{}))
	require.True(t, keyed(store.Config{OnComplete: "delete"}))
}
