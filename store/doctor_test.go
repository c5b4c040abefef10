package store_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

// check finds one of Doctor's checks.
func check(t *testing.T, s *store.Store, name string) store.Check {
	t.Helper()
	all, err := s.Doctor(t.Context())
	require.NoError(t, err)
	for _, c := range all {
		if c.Name == name {
			return c
		}
	}
	require.Fail(t, "no such check", "%s in %v", name, all)
	return store.Check{}
}

func TestDoctorFindsNothing(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	all, err := b.Doctor(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 9)
	for _, c := range all {
		require.Equal(t, store.HealthOK, c.State, "%+v", c)
		require.Empty(t, c.Mend)
	}
}

func TestDoctorNamesMissingColumnsAndSlots(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	b.exec(t, "delete from omnibox.slots where slot > 60")
	c := check(t, b.Store, "slots")
	require.Equal(t, store.HealthFail, c.State)
	require.Equal(t, "61 of 64 slots have a lease row", c.Found)
	b.exec(t, "alter table outbox_events drop column body, drop column fetches")
	c = check(t, b.Store, "columns")
	require.Equal(t, store.Check{
		Name: "columns", State: store.HealthFail, Found: "public.outbox_events lacks fetches, body", Mend: "omnibox migrate up",
	}, c)
}

// trap: 35
func TestDoctorNamesMissingGrantsAndTheirCure(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	role := fmt.Sprintf("doctor_%d", os.Getpid())
	b.exec(t, "create role "+role+" login password 'x'")
	t.Cleanup(func() {
		_, err := b.db.Exec(context.WithoutCancel(t.Context()), "drop owned by "+role+"; drop role "+role)
		require.NoError(t, err)
	})
	as := b.db.Config().ConnConfig.ConnString()
	u, err := url.Parse(as)
	require.NoError(t, err)
	u.User = url.UserPassword(role, "x")
	db := pool(t, u.String())
	s := openAdmin(t, db, store.Config{OnComplete: "delete"})

	for round := 0; ; round++ {
		require.Less(t, round, 3, "what doctor says to do is enough")
		c := check(t, s, "grants")
		if c.State == store.HealthOK {
			break
		}
		require.Contains(t, c.Mend, "grant ")
		if round == 0 {
			require.Contains(t, c.Mend, `grant delete, select, update on "public"."outbox_events" to "`+role+`"`)
		}
		for statement := range strings.SplitSeq(c.Mend, "; ") {
			b.exec(t, statement)
		}
	}
	// with these rights the administration itself works
	ids := b.dead(t, 1)
	require.NoError(t, s.Register(t.Context(), s.Settings()))
	got, err := s.Replay(t.Context(), store.ReplayParams{IDs: []store.DeadID{{Event: ids[0]}}, By: "ann"})
	require.NoError(t, err)
	require.Equal(t, 1, got.Replayed)
	_, err = s.Pause(t.Context(), store.PauseParams{By: "ann"})
	require.NoError(t, err)
	_, err = s.Status(t.Context())
	require.NoError(t, err)
}

func TestDoctorSeesOtherRelays(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	ids := b.rows(t, 2)
	b.exec(t, "update outbox_events set locked_by = 'worker-1', locked_at = now() where id = $1", ids[0])
	b.exec(t, "update outbox_events set locked_by = 'ours', locked_at = now(), lease_token = 3, lease_until = now() where id = $1", ids[1])
	c := check(t, b.Store, "other relays")
	require.Equal(t, store.HealthFail, c.State)
	require.Equal(t, "rows are locked by worker-1", c.Found)
	require.Contains(t, c.Mend, "claim: row")
	byRow := openAdmin(t, b.db, store.Config{Claim: store.ClaimRow})
	require.Equal(t, store.HealthOK, check(t, byRow, "other relays").State)
}

func TestDoctorSeesDifferentSettings(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	require.NoError(t, b.Register(t.Context(), b.Settings()))
	other := openAdmin(t, b.db, store.Config{Lease: time.Minute})
	c := check(t, other, "settings")
	require.Equal(t, store.HealthFail, c.State)
	require.Contains(t, c.Found, "lease is 15s there and 1m0s here")
}

func TestDoctorHintsAtVacuum(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	b.exec(t, "alter table outbox_events set (autovacuum_enabled = false)")
	c := check(t, b.Store, "vacuum")
	require.Equal(t, store.HealthWarn, c.State)
	require.Equal(t, `alter table "public"."outbox_events" reset (autovacuum_enabled)`, c.Mend)
	b.exec(t, c.Mend)
	require.Equal(t, store.HealthOK, check(t, b.Store, "vacuum").State)
}

func TestDoctorHintsAtIndexesThatNobodyUses(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	b.exec(t, "create index idx_outbox_events_locked_at on outbox_events (locked_at)")
	ids := b.rows(t, 1)
	b.exec(t, `do $$ begin
		set local enable_seqscan = off; set local enable_bitmapscan = off;
		for i in 1 .. 1100 loop perform from outbox_events where id = '`+ids[0].String()+`'; end loop;
	end $$`)
	require.Eventually(t, func() bool {
		return get[int](t, b, "select coalesce(idx_scan, 0) from pg_stat_user_tables where relname = 'outbox_events'") > 1000
	}, waitLong, poll)
	c := check(t, b.Store, "indexes")
	require.Equal(t, store.HealthWarn, c.State)
	require.Contains(t, c.Found, "public.idx_outbox_events_locked_at")
	require.NotContains(t, c.Found, "_due")
	require.Contains(t, c.Mend, "drop index concurrently public.idx_outbox_events_locked_at")
}

func TestTopicsAreThoseOfTriedEventsToo(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	ids := b.rows(t, 30)
	b.exec(t, `update outbox_events set topic = 'mistyped', attempts_made = 1, created_at = now() - interval '1 minute', error_class = 'permanent',
		scheduled_at = now() - interval '10 seconds' where id = $1`, ids[0])
	b.exec(t, `update outbox_events set topic = 'later', scheduled_at = now() + interval '1 hour' where id = $1`, ids[1])
	topics, err := b.Topics(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"later", "mistyped", "orders"}, topics)
}
