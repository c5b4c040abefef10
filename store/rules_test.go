package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// minute is a lease that does not run out during a test.
func minute(owner string) store.Config { return store.Config{Owner: owner, Lease: time.Minute} }

func (b *bed) expire(t testing.TB) {
	t.Helper()
	b.exec(t, "update omnibox.slots set lease_until = '-infinity'")
}

// begin begins a transaction that does not outlive a failed test.
func (b *bed) begin(t testing.TB) pgx.Tx {
	t.Helper()
	tx, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}

// waitBlocked returns when a backend of the database waits for a lock.
func (b *bed) waitBlocked(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool {
		return one[bool](t, b, `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`)
	}, time.Minute, 5*time.Millisecond)
}

// Rule 1: what the last owner completed a moment before is not handed out, even
// if it did so while the lease was being taken.
func TestTakeoverDoesNotSeeWhatWasJustCompleted(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.enqueue(t, "a", "b")
	old := b.open(t, minute("old"))
	c1 := claim(t, old)
	events := fetchAll(t, c1, 10)
	require.Len(t, events, 2)
	b.expire(t)

	// The old owner stalls in the middle of its settle: written, not committed.
	tx := b.begin(t)
	require.NoError(t, old.CommitTx(t.Context(), tx, completed(events...)))

	next := b.open(t, minute("next"))
	c2 := claim(t, next)
	held := map[int]bool{events[0].Fence.Slot: true, events[1].Fence.Slot: true}
	require.Len(t, c2.Slots(), omnibox.Slots-len(held), "slots that are being settled are not free")
	require.Empty(t, fetchAll(t, c2, 10))
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, c2.Extend(t.Context()))
	require.Len(t, c2.Slots(), omnibox.Slots)
	require.Empty(t, fetchAll(t, c2, 10), "completed while the lease was out of reach")
}

// Rule 2: a settle that began before a takeover, and waits for it, changes nothing.
// trap: 11
func TestSettleWaitsForATakeoverAndThenChangesNothing(t *testing.T) {
	t.Parallel()
	for _, onComplete := range []string{"keep", "delete"} {
		t.Run(onComplete, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			ids := b.enqueue(t, "a")
			cfg := minute("old")
			cfg.OnComplete = onComplete
			old := b.open(t, cfg)
			events := fetchAll(t, claim(t, old), 10)
			b.expire(t)

			// 1. the next owner has raised the token and stalls before its commit
			tx := b.begin(t)
			_, err := tx.Exec(t.Context(), `update omnibox.slots set token = token + 1, owner = 'next', lease_until = now() + interval '1 minute'`)
			require.NoError(t, err)
			// 2. the old owner settles: its snapshot still shows its own token
			settled := make(chan error, 1)
			go func() { settled <- old.Commit(t.Context(), completed(events...)) }()
			b.waitBlocked(t)
			// 3. the takeover is committed
			require.NoError(t, tx.Commit(t.Context()))
			require.ErrorIs(t, <-settled, omnibox.ErrLeaseLost)
			require.Equal(t, "pending", one[string](t, b, "select status from outbox_events where id = $1", [16]byte(ids[0])))
		})
	}
}

// Rule 3: the deadline counts from before the lease was asked for.
// trap: 20
func TestDeadlineCountsFromBeforeTheLease(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	s := b.open(t, store.Config{Lease: 10 * time.Second})
	// The lease statement is held up at the database.
	tx := b.begin(t)
	_, err := tx.Exec(t.Context(), "lock table omnibox.slots in access exclusive mode")
	require.NoError(t, err)
	asked := time.Now()
	claimed := make(chan omnibox.Claim, 1)
	go func() {
		c, _ := s.Claim(t.Context(), allSlots())
		claimed <- c
	}()
	b.waitBlocked(t)
	late := time.Now()
	require.NoError(t, tx.Commit(t.Context()))
	c := <-claimed
	require.NotNil(t, c)
	require.False(t, c.Deadline().After(late.Add(8*time.Second)), "lease less margin, from before the statement was sent")
	require.False(t, c.Deadline().Before(asked.Add(8*time.Second)))
	// The database's own clock decides between owners, whatever the worker's says.
	remaining := one[time.Duration](t, b, "select min(lease_until) - clock_timestamp() from omnibox.slots")
	require.InDelta(t, 10, remaining.Seconds(), 5)
}

// Rule 4: a row under a lease of its own is passed over, with what is behind it.
func TestRowLeasedElsewhereIsPassedOver(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ids := b.enqueue(t, "a", "a", "b")
	b.exec(t, "update outbox_events set lease_until = now() + interval '1 minute', lease_token = 1, locked_at = now(), locked_by = 'x' where id = $1", [16]byte(ids[0]))
	s := b.open(t, minute("w1"))
	c := claim(t, s)
	require.Equal(t, ids[2:], idsOf(fetchAll(t, c, 10)))
	b.exec(t, "update outbox_events set lease_until = null, locked_at = null, locked_by = null where id = $1", [16]byte(ids[0]))
	c.Rewind()
	got := fetchAll(t, c, 10)
	require.Len(t, got, 3)
	requireInOrder(t, got)
}

// A row whose own lease has run out is taken by the owner of its slot, who may end
// too: the row is not left looking like that of another program, for which
// everybody would wait.
func TestARowTakenFromItsWorkflowIsNobodyElses(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ids := b.enqueue(t, "a", "a")
	b.exec(t, "update outbox_events set lease_until = now() - interval '1 second', lease_token = 1, locked_at = now(), locked_by = 'workflow:outbox' where id = $1", [16]byte(ids[0]))
	s := b.open(t, minute("w1"))
	c := claim(t, s)
	events := fetchAll(t, c, 10)
	require.Equal(t, ids, idsOf(events))
	require.NoError(t, c.Mark(t.Context(), []*omnibox.Event{&events[0]}))
	b.expire(t) // its worker is killed
	owners, err := s.ForeignOwners(t.Context())
	require.NoError(t, err)
	require.Empty(t, owners)
	require.Equal(t, ids, idsOf(fetchAll(t, claim(t, b.open(t, minute("w2"))), 10)))
}

// trap: 5
func TestFetchSortsWhateverTheHeap(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.exec(t, `insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload, seq)
		select gen_random_uuid(), 't', 'k' || g % 10, 'a', gen_random_uuid(), 'e', '{"n":1}', g
		from generate_series(1, 1000) g order by random()`)
	b.exec(t, "select setval(pg_get_serial_sequence('outbox_events', 'seq'), 1000)")
	for _, mode := range []string{store.ClaimShard, store.ClaimRow} {
		cfg := minute("w-" + mode)
		cfg.Claim = mode
		c := claim(t, b.open(t, cfg))
		events := fetchAll(t, c, 1000)
		require.Len(t, events, 1000)
		requireInOrder(t, events)
		require.NoError(t, c.Release(t.Context()))
	}
}

// trap: 19
func TestRowLeaseTakesNoMoreThanAsked(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fill(t, 2000)
	cfg := b.db.Config()
	for _, setting := range []string{"enable_hashjoin", "enable_mergejoin", "enable_material", "enable_memoize"} {
		cfg.ConnConfig.RuntimeParams[setting] = "off" // what remains is a nested loop
	}
	db, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	s, err := store.Open(t.Context(), db, store.Config{Owner: "w1", Claim: store.ClaimRow})
	require.NoError(t, err)
	events := fetch(t, claim(t, s), 7)
	require.Len(t, events, 7)
	require.Equal(t, 7, one[int](t, b, "select count(*) from outbox_events where lease_until is not null"))
}

// trap: 34
func TestNoTransactionIsOpenWhileEventsAreInHand(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{store.ClaimShard, store.ClaimRow} {
		b := newBed(t)
		b.enqueue(t, "a", "b")
		cfg := minute("w1")
		cfg.Claim = mode
		require.Len(t, fetchAll(t, claim(t, b.open(t, cfg)), 10), 2)
		require.Zero(t, one[int](t, b, `select count(*) from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid() and (xact_start is not null or backend_xmin is not null) and backend_type = 'client backend'`))
	}
}

// omni-box keeps its locks uncommitted while it publishes: what it has, and what
// is behind that, is left to it.
func TestRowClaimLeavesWhatAnotherProgramHasLocked(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ids := b.enqueue(t, "a", "a", "b")
	tx := b.begin(t)
	_, err := tx.Exec(t.Context(), "update outbox_events set locked_at = now(), locked_by = 'python' where id = $1", [16]byte(ids[0]))
	require.NoError(t, err)
	cfg := minute("w1")
	cfg.Claim = store.ClaimRow
	s := b.open(t, cfg)
	c := claim(t, s)
	require.Equal(t, ids[2:], idsOf(fetchAll(t, c, 500)), "one page holds all three")
	require.NoError(t, tx.Commit(t.Context()))
	c.Rewind()
	require.Empty(t, fetchAll(t, c, 10), "locked, and committed so")
	owners, err := s.ForeignOwners(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"python"}, owners)
}

// One row that the database refuses does not stop the others.
func TestBadRowDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ids := b.enqueue(t, "a", "b", "c", "d", "e")
	b.exec(t, `alter table outbox_events add constraint never check (status <> 'completed' or partition_key <> 'c') not valid`)
	s := b.open(t, minute("w1"))
	events := fetchAll(t, claim(t, s), 10)
	err := s.Commit(t.Context(), completed(events...))
	require.ErrorContains(t, err, ids[2].String())
	require.NotErrorIs(t, err, omnibox.ErrLeaseLost)
	require.Equal(t, 4, one[int](t, b, "select count(*) from outbox_events where status = 'completed'"))
}

// A row with a time that is none does not stop the others. Only Postgres 17 and
// later let one be written, hence without a table.
func TestAnInfiniteTimeIsRead(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	rows, err := b.db.Query(t.Context(), `select false, 0::bigint, 0::bigint, 0::bigint, 1::bigint, 0,
			gen_random_uuid(), created_at, 1::bigint, 't', 'k', scheduled_at, 'e', 'a', gen_random_uuid(),
			'{"n":1}', null, null::bytea, null, null, null, null, null, null, 6, 0, 0, 0
		from (values
			('2026-01-02 03:04:05+00'::timestamptz, '2026-01-02 03:04:05+00'::timestamptz),
			('2026-01-02 03:04:05+00', '-infinity'), ('2026-01-02 03:04:05+00', 'infinity'), ('-infinity', '2026-01-02 03:04:05+00')
		) v (created_at, scheduled_at)`)
	require.NoError(t, err)
	events, waits, err := store.CollectForTest(rows)
	require.NoError(t, err)
	require.Equal(t, []bool{false, false, false, true}, waits, "what cannot be settled is not sent")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	require.True(t, at.Equal(events[0].CreatedAt) && at.Equal(events[0].ScheduledAt))
	require.True(t, at.Equal(events[1].CreatedAt) && events[1].ScheduledAt.IsZero())
}

// A trigger or a constraint of the user's may quote what is in the row.
func TestWhatTheDatabaseSaysOfARowIsNotRepeated(t *testing.T) {
	t.Parallel()
	for name, ddl := range map[string]string{
		"P0001": "execute function quotes()",
		"45000": "execute function quotes('45000')",
		"23514": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.enqueue(t, "k")
			b.exec(t, `create function quotes() returns trigger language plpgsql as $$ begin
				raise exception 'no: %', new.payload using errcode = coalesce(tg_argv[0], 'P0001'), detail = new.payload, hint = new.payload; end $$`)
			if ddl == "" {
				b.exec(t, "alter table outbox_events add constraint never check (status <> 'completed')")
			} else {
				b.exec(t, "create trigger quotes before update on outbox_events for each row "+ddl)
			}
			s := b.open(t, minute("w1"))
			err := s.Commit(t.Context(), completed(fetchAll(t, claim(t, s), 10)...))
			require.ErrorContains(t, err, name)
			e, ok := errors.AsType[*pgconn.PgError](err)
			require.True(t, ok)
			require.NotContains(t, fmt.Sprintf("%v %+v", err, *e), "a: b, c")
			if ddl == "" {
				require.ErrorContains(t, err, "constraint never of table outbox_events")
			}
		})
	}
}

func TestOutageOfTheDatabaseIsOne(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.enqueue(t, "a")
	var down atomic.Bool
	cfg := b.db.Config()
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if down.Load() {
			return nil, syscall.ECONNREFUSED
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	db, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	s, err := store.Open(t.Context(), db, minute("w1"))
	require.NoError(t, err)
	c := claim(t, s)
	events := fetchAll(t, c, 10)
	down.Store(true)
	b.exec(t, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
	c.Rewind()
	_, _, err = c.Fetch(t.Context(), 10)
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err), "%v", err)
	err = s.Commit(t.Context(), completed(events...))
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err), "%v", err)
	require.NotContains(t, err.Error(), "a: b, c", "no payload in an error")
}
