package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// effects is an inbox whose handlers write to a table of their own.
type effects struct{ *bed }

func newEffects(t testing.TB, partitioned bool) effects {
	t.Helper()
	b := inboxBed(t, partitioned)
	b.exec(t, "create table effects (n serial, message_id text)")
	return effects{b}
}

// write is what a handler does.
func (e effects) write(ctx context.Context, tx pgx.Tx, events []*omnibox.Event) error {
	for _, m := range events {
		if _, err := tx.Exec(ctx, "insert into effects (message_id) values ($1)", m.Origin.MessageID); err != nil {
			return err
		}
	}
	return nil
}

func (e effects) all(t testing.TB) string {
	t.Helper()
	return one[string](t, e.bed, "select coalesce(string_agg(message_id, ' ' order by n), '') from effects")
}

func refs(events []omnibox.Event) []*omnibox.Event {
	out := make([]*omnibox.Event, len(events))
	for i := range events {
		out[i] = &events[i]
	}
	return out
}

// What a handler wrote is there if and only if its event is complete.
//
// trap: 24
func TestAnEffectIsThereIfItsEventIsComplete(t *testing.T) {
	t.Parallel()
	for _, partitioned := range []bool{false, true} {
		for _, mode := range []string{store.ClaimShard, store.ClaimRow} {
			t.Run(fmt.Sprintf("%s/partitioned=%v", mode, partitioned), func(t *testing.T) {
				t.Parallel()
				b := newEffects(t, partitioned)
				s := b.inbox(t, store.Config{Claim: mode, Lease: time.Minute})
				land(t, s, messages(3)...)
				events := fetchAll(t, claim(t, s), 10)
				done := func() int { return one[int](t, b.bed, "select count(*) from inbox_events where status = 'completed'") }

				boom := errors.New("boom")
				err := s.Complete(t.Context(), refs(events), func(ctx context.Context, tx pgx.Tx, events []*omnibox.Event) error {
					require.NoError(t, b.write(ctx, tx, events))
					require.Zero(t, done(), "nobody sees it yet")
					return boom
				})
				require.ErrorIs(t, err, boom)
				require.Equal(t, []any{"", 0}, []any{b.all(t), done()})

				err = s.Complete(t.Context(), refs(events), func(ctx context.Context, tx pgx.Tx, events []*omnibox.Event) error {
					require.NoError(t, b.write(ctx, tx, events))
					_, err := tx.Exec(ctx, "select 1/0")
					require.Error(t, err)
					return nil // a handler that overlooks its error
				})
				require.ErrorContains(t, err, "a statement of the handler failed, and its error was not returned")
				require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(err))
				require.Equal(t, []any{"", 0}, []any{b.all(t), done()})

				ctx, cancel := context.WithCancel(t.Context())
				err = s.Complete(ctx, refs(events), func(ctx context.Context, tx pgx.Tx, events []*omnibox.Event) error {
					defer cancel()
					return b.write(ctx, tx, events)
				})
				require.ErrorIs(t, err, context.Canceled)
				require.Equal(t, []any{"", 0}, []any{b.all(t), done()})

				for range 2 {
					require.NoError(t, s.Complete(t.Context(), refs(events), b.write))
				}
				require.Equal(t, 3, done())
				require.Len(t, strings.Fields(b.all(t)), 3)
				require.NoError(t, s.Commit(t.Context(), completed(events...)))
			})
		}
	}
}

// A check that Postgres leaves to the commit says nothing of what was written.
func TestACommitThatIsRefusedKeepsNothingAndQuotesNothing(t *testing.T) {
	t.Parallel()
	b := newEffects(t, false)
	b.exec(t, "alter table effects add constraint once unique (message_id) deferrable initially deferred")
	b.exec(t, "insert into effects (message_id) values ('m0')")
	s := b.inbox(t, store.Config{})
	land(t, s, messages(1)...)
	events := fetchAll(t, claim(t, s), 10)
	err := s.Complete(t.Context(), refs(events), b.write)
	require.ErrorContains(t, err, "row refused by constraint once of table effects")
	require.NotContains(t, err.Error(), "m0")
	require.Equal(t, "m0", b.all(t))
	require.Equal(t, 1, one[int](t, b.bed, "select count(*) from inbox_events where status = 'pending'"))
}

// An event of the workflow lane is completed under its own lease, and its key
// goes on, whether it was held or not.
func TestAWorkflowCompletesItsEventWithItsWork(t *testing.T) {
	t.Parallel()
	b := newEffects(t, false)
	s := b.inbox(t, store.Config{Lease: time.Minute, Escalation: store.Escalation{Most: 10}})
	require.NoError(t, s.Register(t.Context(), s.Settings()))
	lane := s.Lane(store.LaneConfig{Budget: -1, InFlight: 10})
	one := messages(1)[0]
	land(t, s, one, message(one.Key, 1), message(one.Key, 2))
	c := claim(t, s)
	events := fetchAll(t, c, 10)
	failed := retryAfter(&events[0], 0)
	require.NoError(t, s.Commit(t.Context(), []omnibox.Outcome{failed, released(&events[1]), released(&events[2])}))
	require.True(t, events[0].Escalated)
	c.Rewind()
	require.Empty(t, fetchAll(t, c, 10))
	e, _, err := lane.Begin(t.Context(), events[0].Ref(), events[0].Fence)
	require.NoError(t, err)
	require.Equal(t, "m0", e.Origin.MessageID)
	require.True(t, e.HoldsKey)

	stale := *e
	stale.Fence.Token--
	require.ErrorIs(t, lane.Store().Complete(t.Context(), []*omnibox.Event{&stale}, b.write), omnibox.ErrLeaseLost)
	require.ErrorIs(t, b.inbox(t, store.Config{Owner: "w2"}).Complete(t.Context(), []*omnibox.Event{{ID: e.ID, CreatedAt: e.CreatedAt, Fence: omnibox.Fence{Slot: e.Fence.Slot, Token: 99}}}, b.write), omnibox.ErrLeaseLost)
	require.Empty(t, b.all(t))
	require.NoError(t, lane.Store().Complete(t.Context(), []*omnibox.Event{e}, b.write))
	require.NoError(t, lane.Commit(t.Context(), []omnibox.Outcome{{Event: e, Verdict: omnibox.Completed}}))
	require.Equal(t, "m0", b.all(t))
	c.Rewind()
	require.Len(t, fetchAll(t, c, 10), 2, "the key goes on")
}

// While work runs, its lease can be extended and taken over.
func TestWorkLocksNoLease(t *testing.T) {
	t.Parallel()
	b := newEffects(t, false)
	s := b.inbox(t, store.Config{Lease: time.Minute})
	land(t, s, messages(2)...)
	c := claim(t, s)
	events := fetchAll(t, c, 10)
	extendAndTakeOver := func() {
		require.NoError(t, c.Extend(t.Context()))
		b.exec(t, "update omnibox.slots set lease_until = '-infinity'")
		heir := b.inbox(t, store.Config{Owner: "w2"})
		require.NotEmpty(t, fetchAll(t, claim(t, heir), 10))
	}
	require.NoError(t, s.Complete(t.Context(), refs(events[:1]), func(ctx context.Context, tx pgx.Tx, some []*omnibox.Event) error {
		extendAndTakeOver()
		return b.write(ctx, tx, some)
	}))
	require.ErrorIs(t, s.Complete(t.Context(), refs(events[1:]), b.write), omnibox.ErrLeaseLost)
	require.Equal(t, events[0].Origin.MessageID, b.all(t))
}

// A process that stands still, or cannot be reached any more, with the transaction
// of a handler open keeps its event from others no longer than its call may last.
//
// trap: 11
func TestAnEventIsFreeOnceTheProcessThatHandlesItStandsStill(t *testing.T) {
	t.Parallel()
	b := newEffects(t, false)
	s, heir := b.inbox(t, store.Config{Lease: time.Minute}), b.inbox(t, store.Config{Owner: "w2"})
	land(t, s, messages(1)...)
	events := fetchAll(t, claim(t, s), 10)
	wakes, ended := make(chan struct{}), make(chan error, 1)
	began := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	go func() {
		ended <- s.Complete(ctx, refs(events), func(ctx context.Context, tx pgx.Tx, some []*omnibox.Event) error {
			if err := b.write(ctx, tx, some); err != nil {
				return err
			}
			close(began)
			<-wakes
			return nil
		})
	}()
	<-began
	b.exec(t, "update omnibox.slots set lease_until = '-infinity'")
	require.NoError(t, heir.Complete(t.Context(), refs(fetchAll(t, claim(t, heir), 10)), b.write))
	close(wakes)
	require.Error(t, <-ended)
	require.Equal(t, "m0", b.all(t))
	require.Equal(t, 1, one[int](t, b.bed, "select count(*) from effects"))
}

// One event takes a round trip to begin, one to complete and one to commit, and
// the handler's statements are planned as anywhere.
func TestCompleteTakesThreeRoundTripsAndLeavesThePlannerAlone(t *testing.T) {
	t.Parallel()
	b := newEffects(t, false)
	cfg := b.db.Config()
	trips := &counter{}
	cfg.ConnConfig.Tracer = trips
	cfg.ConnConfig.RuntimeParams["enable_bitmapscan"] = "off"
	db, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	s, err := store.Open(t.Context(), db, store.Config{Owner: "w1", Group: "billing"})
	require.NoError(t, err)
	land(t, s, messages(8)...)
	events := fetchAll(t, claim(t, s), 10)
	const settings = "select current_setting('enable_seqscan') || current_setting('enable_bitmapscan') || current_setting('plan_cache_mode')"
	for i := range events {
		trips.n.Store(0)
		require.NoError(t, s.Complete(t.Context(), refs(events[i:i+1]), func(ctx context.Context, tx pgx.Tx, _ []*omnibox.Event) error {
			require.EqualValues(t, 2, trips.n.Load())
			var set string
			require.NoError(t, tx.QueryRow(ctx, settings).Scan(&set))
			require.Equal(t, "onoffauto", set)
			trips.n.Store(2)
			return nil
		}))
		require.EqualValues(t, 3, trips.n.Load())
	}
	var outcomes []omnibox.Outcome
	for _, e := range refs(events) {
		outcomes = append(outcomes, omnibox.Outcome{Event: e, Verdict: omnibox.Completed})
	}
	trips.n.Store(0)
	require.NoError(t, s.Commit(t.Context(), outcomes))
	require.Zero(t, trips.n.Load(), "what is final needs no settling")
}

// counter counts round trips.
type counter struct{ n atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (c *counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// A completion costs the same in a table of any size, also where the plan was made
// when it was small and no statistics say otherwise.
//
// trap: 31
func TestCompletingFindsItsRowByThePrimaryKey(t *testing.T) {
	t.Parallel()
	for _, partitioned := range []bool{false, true} {
		for _, name := range []string{"complete_live", "delete_live"} {
			b := inboxBed(t, partitioned)
			s := b.inbox(t, store.Config{})
			land(t, s, messages(1)...)
			events := fetchAll(t, claim(t, s), 1)
			b.exec(t, "vacuum analyze inbox_events")
			b.exec(t, `insert into inbox_events (id, message_id, consumer_group, source, event_type, payload)
				select gen_random_uuid(), g, 'billing', 's', 'e', '{"a":1}' from generate_series(1, 20000) g`)
			tx := b.begin(t)
			_, err := tx.Exec(t.Context(), store.ByIndexForTest)
			require.NoError(t, err)
			e := events[0]
			rows, err := tx.Query(t.Context(), "explain (analyze, buffers) "+s.StatementsForTest()[name], pgx.StrictNamedArgs{
				"ids": "{" + e.ID.String() + "}", "created_ats": []time.Time{e.CreatedAt}, "slots": []int16{int16(e.Fence.Slot)},
				"tokens": []int64{e.Fence.Token}, "rows": false, "owner": "w1", "table": "public.inbox_events",
			})
			require.NoError(t, err)
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			text := strings.Join(plan, "\n")
			require.NotRegexp(t, "Seq Scan|Bitmap", text)
			require.Regexp(t, "Index Scan using inbox_events_(p[0-9]*_|default_)?pkey", text)
			require.NoError(t, tx.Rollback(t.Context()))
		}
	}
}

// A handler that is at work has its row locked: its lease is extended all the same,
// and those of others with it.
func TestLeasesAreExtendedWhileAHandlerIsAtWork(t *testing.T) {
	t.Parallel()
	t.Run("of rows", func(t *testing.T) {
		t.Parallel()
		b := newEffects(t, false)
		s := b.inbox(t, store.Config{Claim: store.ClaimRow})
		land(t, s, messages(2)...)
		c := claim(t, s)
		events := fetchAll(t, c, 10)
		require.Len(t, events, 2)
		require.NoError(t, s.Complete(t.Context(), refs(events[:1]), func(ctx context.Context, _ pgx.Tx, _ []*omnibox.Event) error {
			return c.Extend(ctx)
		}))
		require.NoError(t, c.Extend(t.Context()), "the one that is complete is not lost")
		require.NoError(t, s.Complete(t.Context(), refs(events[1:]), b.write), "the other one is still ours")
	})
	t.Run("of a workflow", func(t *testing.T) {
		t.Parallel()
		b := newEffects(t, false)
		s := b.inbox(t, store.Config{})
		land(t, s, messages(1)...)
		lane := s.Lane(store.LaneConfig{Budget: -1, InFlight: 10})
		assigned, err := lane.Assign(t.Context(), refs(fetchAll(t, claim(t, s), 10)))
		require.NoError(t, err)
		e, _, err := lane.Begin(t.Context(), assigned[0].Ref(), assigned[0].Fence)
		require.NoError(t, err)
		require.NoError(t, lane.Store().Complete(t.Context(), []*omnibox.Event{e}, func(ctx context.Context, _ pgx.Tx, _ []*omnibox.Event) error {
			_, err := lane.Extend(ctx, e)
			return err
		}))
		_, err = lane.Extend(t.Context(), e)
		require.ErrorIs(t, err, omnibox.ErrLeaseLost, "it is complete")
	})
}
