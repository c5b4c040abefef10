package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/store/storetest"
)

var roles atomic.Int64

// asRole connects as a user of its own who has what migrate.Grants gives a role.
func asRole(tb testing.TB, db *pgxpool.Pool, role migrate.Role, inboxes ...string) *pgxpool.Pool {
	tb.Helper()
	user := fmt.Sprintf("%s_%d_%d", role, os.Getpid(), roles.Add(1))
	grants, err := migrate.Grants(user, role, nil, inboxes...)
	require.NoError(tb, err)
	_, err = db.Exec(tb.Context(), "create role "+user+" login; "+grants)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		_, err := db.Exec(context.WithoutCancel(tb.Context()), "drop owned by "+user+"; drop role "+user)
		require.NoError(tb, err)
	})
	u, err := url.Parse(db.Config().ConnString())
	require.NoError(tb, err)
	u.User = url.User(user)
	return pool(tb, u.String())
}

// A worker, a person at the CLI and a producer need no more than the grants that
// are printed for them.
//
// trap: 35
func TestContractUnderTheLeastPrivileges(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{store.ClaimShard, store.ClaimRow} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(tb testing.TB) storetest.System {
				tb.Helper()
				b := newBed(tb)
				worker := asRole(tb, b.db, migrate.Worker)
				return &privileged{
					system:   &system{bed: b, worker: worker, claim: claim},
					person:   &system{bed: &bed{db: worker}, worker: worker, claim: claim},
					producer: &system{bed: &bed{db: asRole(tb, b.db, migrate.Producer)}, claim: claim},
				}
			})
		})
	}
}

// privileged is a system in which only the test itself owns the table.
type privileged struct {
	*system
	person, producer *system
}

func (p *privileged) Begin(tb testing.TB) storetest.Tx {
	tb.Helper()
	return p.producer.Begin(tb)
}

func (p *privileged) Pause(tb testing.TB, paused bool) {
	tb.Helper()
	p.person.Pause(tb, paused)
}

func (p *privileged) HoldKey(tb testing.TB, key omnibox.OrderKey) {
	tb.Helper()
	p.person.HoldKey(tb, key)
}

func (p *privileged) FreeKey(tb testing.TB, key omnibox.OrderKey) {
	tb.Helper()
	p.person.FreeKey(tb, key)
}

func (p *privileged) Replay(tb testing.TB, id uuid.UUID) {
	tb.Helper()
	p.person.Replay(tb, id)
}

// trap: 35
func TestTheGrantsSufficeForEverythingElse(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	worker := asRole(t, b.db, migrate.Worker)
	producer := asRole(t, b.db, migrate.Producer)

	s, err := store.Open(t.Context(), worker, store.Config{Owner: "w1", OnComplete: "delete"})
	require.NoError(t, err)
	require.NoError(t, migrate.Check(t.Context(), worker, "outbox_events"))
	require.NoError(t, s.Register(t.Context(), s.Settings()))
	_, err = s.ApplySettings(t.Context(), s.Settings())
	require.NoError(t, err)
	_, err = s.Identity(t.Context())
	require.NoError(t, err)
	_, err = s.Status(t.Context())
	require.NoError(t, err)
	_, err = s.ForeignOwners(t.Context())
	require.NoError(t, err)
	_, err = s.Topics(t.Context())
	require.NoError(t, err)
	checks, err := s.Doctor(t.Context())
	require.NoError(t, err)
	for _, c := range checks {
		require.NotEqual(t, store.HealthFail, c.State, "%+v", c)
	}
	_, err = s.ListDead(t.Context(), store.ListDeadParams{})
	require.NoError(t, err)

	// A busy table is silenced by the worker's user; keys are serialized by the
	// producer's.
	w := store.Watch(t.Context(), worker, "outbox_events", slog.New(slog.DiscardHandler))
	t.Cleanup(w.Close)
	awaitListening(t, w)
	b.exec(t, `select pg_notify('omnibox_' || 'outbox_events'::regclass::oid, repeat('0', i) || '1') from generate_series(1, 200) i`)
	require.Eventually(t, w.Quiet, time.Minute, time.Millisecond)

	keyed := order(1)
	keyed.IdempotencyKey = "once"
	for _, o := range []store.Outbox{{}, {SerializeKeys: true}} {
		tx, err := producer.Begin(t.Context())
		require.NoError(t, err)
		_, err = o.Enqueue(t.Context(), tx, keyed, order(2))
		require.NoError(t, err)
		require.NoError(t, tx.Commit(t.Context()))
	}
	c := claim(t, s)
	events := fetchAll(t, c, 10)
	require.Len(t, events, 3)
	require.NoError(t, s.Commit(t.Context(), completed(events...)))
	require.Zero(t, one[int](t, b, "select count(*) from outbox_events"))
}

// What a worker and a person read of a missing right says how to get it.
func TestAMissingRightIsAHint(t *testing.T) {
	t.Parallel()
	const cure = "run what `omnibox migrate grants` prints"
	b := newBed(t)
	worker := asRole(t, b.db, migrate.Worker)
	user := worker.Config().ConnConfig.User
	s, err := store.Open(t.Context(), worker, store.Config{Owner: "w1"})
	require.NoError(t, err)

	b.exec(t, "revoke all on omnibox.slots, omnibox.dead_letters, omnibox.pipelines from "+user)
	_, err = s.Claim(t.Context(), allSlots())
	require.ErrorContains(t, err, cure)
	require.ErrorContains(t, s.Register(t.Context(), s.Settings()), cure)
	_, err = s.Status(t.Context())
	require.ErrorContains(t, err, cure)
	_, err = s.Pause(t.Context(), store.PauseParams{By: "ann"})
	require.ErrorContains(t, err, cure)
	_, err = s.ListDead(t.Context(), store.ListDeadParams{})
	require.ErrorContains(t, err, cure)
	_, err = s.Replay(t.Context(), store.ReplayParams{By: "ann"})
	require.ErrorContains(t, err, cure)
	require.Equal(t, 1, strings.Count(err.Error(), cure))
	b.exec(t, "revoke all on schema omnibox from "+user)
	require.ErrorContains(t, migrate.Check(t.Context(), worker, "outbox_events"), cure)
}

// trap: 35
func TestInboxContractUnderTheLeastPrivileges(t *testing.T) {
	t.Parallel()
	storetest.RunInbox(t, func(tb testing.TB) storetest.InboxSystem {
		tb.Helper()
		b := inboxBed(tb, true)
		worker := asRole(tb, b.db, migrate.Worker, "inbox_events")
		return &privilegedInbox{
			system: &system{bed: b, worker: worker, claim: store.ClaimShard, group: "billing"},
			person: &system{bed: &bed{db: worker}, worker: worker, claim: store.ClaimShard, group: "billing"},
		}
	})
}

// privilegedInbox is an inbox that only the test itself owns.
type privilegedInbox struct {
	*system
	person *system
}

func (p *privilegedInbox) Replay(tb testing.TB, id uuid.UUID) {
	tb.Helper()
	p.person.Replay(tb, id)
}

func (p *privilegedInbox) Discard(tb testing.TB, id uuid.UUID) {
	tb.Helper()
	p.person.Discard(tb, id)
}

// trap: 35
func TestTheGrantsSufficeForEverythingElseOfAnInbox(t *testing.T) {
	t.Parallel()
	for _, partitioned := range []bool{false, true} {
		b := inboxBed(t, partitioned)
		worker := asRole(t, b.db, migrate.Worker, "inbox_events")
		s, err := store.Open(t.Context(), worker, store.Config{Owner: "w1", Group: "billing", OnComplete: "delete"})
		require.NoError(t, err)
		require.NoError(t, migrate.CheckInbox(t.Context(), worker, "inbox_events"))
		require.NoError(t, s.Register(t.Context(), s.Settings()))
		require.NoError(t, s.RefuseForeignGroups(t.Context()))
		require.NoError(t, s.ReportConsumer(t.Context(), "m", []store.ConsumerPartition{{Topic: "orders"}}))
		require.NoError(t, s.ForgetConsumer(t.Context(), "m"))
		land(t, s, messages(3)...)
		_, err = s.Status(t.Context())
		require.NoError(t, err)
		_, err = s.PauseKey(t.Context(), store.PauseKeyParams{Key: omnibox.OrderKey{Topic: "orders", Key: "k1"}, By: "ann"})
		require.NoError(t, err)
		require.Len(t, fetchAll(t, claim(t, s), 10), 2)
		topics, err := s.Topics(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"orders"}, topics)
		checks, err := s.Doctor(t.Context())
		require.NoError(t, err)
		require.Len(t, checks, 10)
		for _, c := range checks {
			require.Equal(t, store.HealthOK, c.State, "%+v", c)
		}
		b.exec(t, "revoke insert on inbox_events from "+worker.Config().ConnConfig.User)
		b.exec(t, "revoke all on omnibox.inbox_keys from "+worker.Config().ConnConfig.User)
		c := check(t, s, "grants")
		require.Equal(t, store.HealthFail, c.State)
		require.Contains(t, c.Mend, `grant insert on "public"."inbox_events"`)
		require.Contains(t, c.Mend, `grant insert, select on "omnibox"."inbox_keys"`)
		_, err = s.Land(t.Context(), messages(1))
		require.ErrorContains(t, err, "run what `omnibox migrate grants` prints")
		b.exec(t, `alter table inbox_events drop column "offset"`)
		require.Equal(t, "public.inbox_events lacks offset", check(t, s, "columns").Found)
	}
}
