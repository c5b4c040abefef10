package store_test

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

func TestListDead(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	ids := b.dead(t, 25)
	b.exec(t, "update omnibox.dead_letters set error_class = 'permanent', topic = 'other' where event_id = any ($1)", ids[:3])

	var seen []uuid.UUID
	page := store.ListDeadParams{Limit: 10}
	for {
		got, err := b.ListDead(t.Context(), page)
		require.NoError(t, err)
		for _, l := range got.Letters {
			seen = append(seen, l.EventID)
		}
		if got.Next == nil {
			break
		}
		page.After = *got.Next
	}
	slices.Reverse(seen)
	require.Equal(t, ids, seen, "every letter once, the latest first")

	middle := get[time.Time](t, b, "select last_at from omnibox.dead_letters where event_id = $1", ids[10])
	for name, tt := range map[string]struct {
		filter store.DeadFilter
		want   int
	}{
		"class":       {store.DeadFilter{Class: omnibox.ClassPermanent}, 3},
		"topic":       {store.DeadFilter{Topic: "other"}, 3},
		"key":         {store.DeadFilter{Key: "k2"}, 5},
		"type":        {store.DeadFilter{Type: "order.placed"}, 25},
		"fingerprint": {store.DeadFilter{Fingerprint: "f-transient"}, 25},
		"pipeline":    {store.DeadFilter{Pipeline: "billing"}, 0},
		"since":       {store.DeadFilter{Since: middle}, 15},
		"until":       {store.DeadFilter{Until: middle}, 10},
		"state":       {store.DeadFilter{State: store.DeadReplayed}, 0},
		"both":        {store.DeadFilter{Class: omnibox.ClassPermanent, State: store.DeadOpen}, 3},
	} {
		got, err := b.ListDead(t.Context(), store.ListDeadParams{Filter: tt.filter})
		require.NoError(t, err, name)
		require.Len(t, got.Letters, tt.want, name)
	}

	groups, err := b.SummarizeDead(t.Context(), store.DeadFilter{}, 10)
	require.NoError(t, err)
	require.Len(t, groups, 2)
	require.Equal(t, 22, groups[0].Letters)
	require.Equal(t, 3, groups[0].Keys)
	require.Equal(t, "Boom: no", groups[0].Error)
	require.Equal(t, []string{"order.placed"}, groups[0].Types)
}

func TestShowDead(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	ids := b.dead(t, 2)

	got, err := b.ShowDead(t.Context(), store.ShowDeadParams{ID: store.DeadID{Event: ids[0]}})
	require.NoError(t, err)
	require.Equal(t, omnibox.StatusFailed, got.Row.Status)
	require.Equal(t, 6, got.Row.AttemptsMade)
	require.Positive(t, got.Row.PayloadBytes)
	require.Nil(t, got.Row.Payload, "the payload is shown only when asked for")

	got, err = b.ShowDead(t.Context(), store.ShowDeadParams{ID: store.DeadID{Letter: got.Letters[0].ID}, Payload: true})
	require.NoError(t, err)
	require.Equal(t, ids[0], got.Row.ID)
	require.JSONEq(t, `{"secret": "hunter2"}`, string(*got.Row.Payload))

	b.exec(t, "delete from outbox_events where id = $1", ids[1])
	got, err = b.ShowDead(t.Context(), store.ShowDeadParams{ID: store.DeadID{Event: ids[1]}})
	require.NoError(t, err)
	require.Nil(t, got.Row)
	require.Len(t, got.Letters, 1)

	_, err = b.ShowDead(t.Context(), store.ShowDeadParams{ID: store.DeadID{Event: uuid.New()}})
	require.ErrorIs(t, err, store.ErrNoDeadLetter)
	_, err = b.ShowDead(t.Context(), store.ShowDeadParams{ID: store.DeadID{Letter: 999_999}})
	require.ErrorIs(t, err, store.ErrNoDeadLetter)
}

// trap: 39
func TestReplayPutsTheWholeRowBack(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	ids := b.dead(t, 1)
	// what other programs and interrupted workers may leave behind
	b.exec(t, `update outbox_events set locked_at = now(), locked_by = 'x', lease_token = 7, lease_until = now() + interval '1 hour',
		fetches = 3, held = true, seq = null, created_at = now() - interval '400 days', scheduled_at = now() + interval '1 day'`)
	b.exec(t, "update omnibox.dead_letters set event_created_at = (select created_at from outbox_events)")

	got, err := b.Replay(t.Context(), store.ReplayParams{IDs: []store.DeadID{{Event: ids[0]}}, By: "ann"})
	require.NoError(t, err)
	require.Equal(t, store.ReplayResult{Replayed: 1}, got)
	require.True(t, get[bool](t, b, `select status = 'pending' and attempts_made = 0 and last_error is null and error_class is null
		and fetches = 0 and not held and locked_at is null and locked_by is null and lease_token = 7 and lease_until is null
		and completed_at is null and replays = 1 and seq is not null
		and scheduled_at = created_at + interval '365 days' from outbox_events`))
	require.True(t, get[bool](t, b, `select state = 'replayed' and resolved_by = 'ann' and resolved_at is not null
		from omnibox.dead_letters`))
}

func TestReplayWakesWorkers(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	ids := b.dead(t, 1)
	conn, err := b.db.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	channel := get[string](t, b, "select 'omnibox_' || 'outbox_events'::regclass::oid")
	_, err = conn.Exec(t.Context(), "listen "+channel)
	require.NoError(t, err)
	_, err = b.Replay(t.Context(), store.ReplayParams{IDs: []store.DeadID{{Event: ids[0]}}, By: "ann"})
	require.NoError(t, err)
	n, err := conn.Conn().WaitForNotification(t.Context())
	require.NoError(t, err)
	require.Equal(t, "*", n.Payload)
}

func TestReplaySaysWhyNot(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	dead := b.dead(t, 4)
	live := b.rows(t, 2)
	b.exec(t, "update outbox_events set status = 'completed', completed_at = now() where id = $1", live[1])
	b.exec(t, "delete from outbox_events where id = $1", dead[1])
	_, err := b.Replay(t.Context(), store.ReplayParams{IDs: []store.DeadID{{Event: dead[2]}}, By: "ann"})
	require.NoError(t, err)
	// a row that failed under a relay that writes no dead letters
	b.exec(t, "delete from omnibox.dead_letters where event_id = $1", dead[3])

	unknown := uuid.New()
	ids := []store.DeadID{
		{Event: dead[0]},
		{Event: dead[0]},
		{Event: dead[1]},
		{Event: dead[2]},
		{Event: dead[3]},
		{Event: live[0]},
		{Event: live[1]},
		{Event: unknown},
		{Letter: 999_999},
	}
	want := map[store.DeadID]string{
		{Event: dead[0]}:  "named twice",
		{Event: dead[1]}:  "its row is gone from the table",
		{Event: dead[2]}:  "already replayed on",
		{Event: live[0]}:  "not dead: it is pending",
		{Event: live[1]}:  "not dead: it is completed",
		{Event: unknown}:  "no event or dead letter of this table has this id",
		{Letter: 999_999}: "no event or dead letter of this table has this id",
	}
	check := func(got store.ReplayResult) {
		t.Helper()
		require.Equal(t, 2, got.Replayed)
		require.Len(t, got.Refused, len(want))
		for _, r := range got.Refused {
			require.True(t, strings.HasPrefix(r.Reason, want[r.ID]), "%s: %s", r.ID, r.Reason)
		}
	}
	got, err := b.Replay(t.Context(), store.ReplayParams{IDs: ids, By: "ann", DryRun: true})
	require.NoError(t, err)
	check(got)
	require.Equal(t, "failed", get[string](t, b, "select status from outbox_events where id = $1", dead[0]), "a dry run changes nothing")
	got, err = b.Replay(t.Context(), store.ReplayParams{IDs: ids, By: "ann"})
	require.NoError(t, err)
	check(got)

	_, err = b.Replay(t.Context(), store.ReplayParams{IDs: ids})
	require.ErrorContains(t, err, "By is required")
}

func TestReplayByFilter(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	b.dead(t, 1205)
	b.exec(t, "delete from outbox_events where id in (select event_id from omnibox.dead_letters order by id limit 5)")
	b.exec(t, "update omnibox.dead_letters set error_class = 'permanent' where id % 10 = 0")
	permanent := get[int](t, b, `select count(*) from omnibox.dead_letters d join outbox_events o on o.id = d.event_id
		where d.error_class = 'permanent'`)
	transient := store.DeadFilter{Class: omnibox.ClassTransient}

	dry, err := b.Replay(t.Context(), store.ReplayParams{Filter: transient, By: "ann", DryRun: true})
	require.NoError(t, err)
	require.Equal(t, 1200-permanent, dry.Replayed)

	got, err := b.Replay(t.Context(), store.ReplayParams{Filter: transient, By: "ann", Limit: 20})
	require.NoError(t, err)
	require.Equal(t, 20, got.Replayed)
	require.Equal(t, 25, get[int](t, b, `select max(n) from (select row_number() over (order by id) n, state
		from omnibox.dead_letters where error_class = 'transient') x where state = 'replayed'`), "the oldest go first; five rows are gone")

	var progress []int
	got, err = b.Replay(t.Context(), store.ReplayParams{
		Filter: transient, By: "ann", Progress: func(done int) { progress = append(progress, done) },
	})
	require.NoError(t, err)
	require.Equal(t, 1180-permanent, got.Replayed)
	require.Len(t, got.Refused, 5)
	require.Equal(t, "its row is gone from the table", got.Refused[0].Reason)
	require.GreaterOrEqual(t, len(progress), 3, "chunk by chunk")
	require.Equal(t, permanent, get[int](t, b, "select count(*) from outbox_events where status = 'failed'"))
}

// trap: 15
func TestTwoReplaysOfOneEvent(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	var refs []store.DeadID
	for _, id := range b.dead(t, 300) {
		refs = append(refs, store.DeadID{Event: id})
	}
	var wg sync.WaitGroup
	results, errs := make([]store.ReplayResult, 4), make([]error, 4)
	for i := range 4 {
		mine := slices.Clone(refs)
		if i%2 == 1 {
			slices.Reverse(mine)
		}
		wg.Go(func() {
			results[i], errs[i] = b.Replay(t.Context(), store.ReplayParams{IDs: mine, By: "ann"})
		})
	}
	wg.Wait()
	total := 0
	for i := range 4 {
		require.NoError(t, errs[i])
		require.Equal(t, 300, results[i].Replayed+len(results[i].Refused))
		total += results[i].Replayed
	}
	require.Equal(t, 300, total)
	require.Equal(t, 300, get[int](t, b, "select sum(replays) from outbox_events"))
}

// Of a row that failed under another relay there is no letter to lock:
//
//  1. someone puts the row back, and does not commit yet
//  2. replay waits for the row
//  3. they commit
//  4. replay sees that the row is pending now, and leaves it alone
func TestReplayWaitsForAnotherReplay(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	ids := b.dead(t, 1)
	b.exec(t, "delete from omnibox.dead_letters")
	type outcome struct {
		store.ReplayResult
		err error
	}
	done := make(chan outcome, 1)
	err := pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "update outbox_events set status = 'pending', attempts_made = 3, replays = 1")
		go func() {
			r, err := b.Replay(t.Context(), store.ReplayParams{IDs: []store.DeadID{{Event: ids[0]}}, By: "ann"})
			done <- outcome{r, err}
		}()
		waitForLock(t, b)
		return err
	})
	require.NoError(t, err)
	got := <-done
	require.NoError(t, got.err)
	require.Zero(t, got.Replayed)
	require.Equal(t, "not dead: it is pending", got.Refused[0].Reason)
	require.Equal(t, 3, get[int](t, b, "select attempts_made from outbox_events"))
}

// trap: 38
func TestReplayIsWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	b.dead(t, 3)
	b.exec(t, `create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$`)
	b.exec(t, `create trigger refuse before update on omnibox.dead_letters for each row when (new.id = 2) execute function refuse()`)
	_, err := b.Replay(t.Context(), store.ReplayParams{By: "ann"})
	require.Error(t, err)
	require.Equal(t, 3, get[int](t, b, `select count(*) from outbox_events o join omnibox.dead_letters d on d.event_id = o.id
		where o.status = 'failed' and d.state = 'open'`), "rows and letters agree")
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	ids := b.dead(t, 3)
	live := b.rows(t, 1)

	got, err := b.Discard(t.Context(), store.DiscardParams{
		IDs: []store.DeadID{{Event: ids[0]}, {Event: live[0]}, {Event: uuid.Nil}}, By: "bob", Note: "test data",
	})
	require.NoError(t, err)
	require.Equal(t, 1, got.Discarded)
	require.Equal(t, []store.Refusal{
		{ID: store.DeadID{Event: live[0]}, Reason: "has no dead letter: it is pending"},
		{ID: store.DeadID{Event: uuid.Nil}, Reason: "no event or dead letter of this table has this id", Unknown: true},
	}, got.Refused)
	require.Equal(t, "discarded bob test data failed", get[string](t, b, `select d.state || ' ' || d.resolved_by || ' ' || d.note || ' ' || o.status
		from omnibox.dead_letters d join outbox_events o on o.id = d.event_id where o.id = $1`, ids[0]))

	again, err := b.Discard(t.Context(), store.DiscardParams{IDs: []store.DeadID{{Event: ids[0]}}, By: "bob"})
	require.NoError(t, err)
	require.Contains(t, again.Refused[0].Reason, "already discarded on")

	rest, err := b.Discard(t.Context(), store.DiscardParams{By: "bob", DryRun: true})
	require.NoError(t, err)
	require.Equal(t, 2, rest.Discarded)
	rest, err = b.Discard(t.Context(), store.DiscardParams{By: "bob"})
	require.NoError(t, err)
	require.Equal(t, 2, rest.Discarded)

	back, err := b.Replay(t.Context(), store.ReplayParams{By: "bob"})
	require.NoError(t, err)
	require.Zero(t, back.Replayed, "a filter leaves discarded ones alone")
	back, err = b.Replay(t.Context(), store.ReplayParams{IDs: []store.DeadID{{Event: ids[0]}}, By: "bob"})
	require.NoError(t, err)
	require.Equal(t, 1, back.Replayed, "a person may change their mind")
}

func TestAnEventThatDiesTwiceHasTwoLetters(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	ids := b.dead(t, 1)
	_, err := b.Replay(t.Context(), store.ReplayParams{By: "ann"})
	require.NoError(t, err)
	b.die(t, ids)
	got, err := b.ShowDead(t.Context(), store.ShowDeadParams{ID: store.DeadID{Event: ids[0]}})
	require.NoError(t, err)
	require.Len(t, got.Letters, 2)
	require.Equal(t, store.DeadOpen, got.Letters[0].State)
	byNumber, err := b.ShowDead(t.Context(), store.ShowDeadParams{ID: store.DeadID{Letter: got.Letters[1].ID}})
	require.NoError(t, err)
	require.Equal(t, got, byNumber, "the number of either letter shows both")
	back, err := b.Replay(t.Context(), store.ReplayParams{IDs: []store.DeadID{{Event: ids[0]}}, By: "ann"})
	require.NoError(t, err)
	require.Equal(t, 1, back.Replayed)
	require.Equal(t, 2, get[int](t, b, "select replays from outbox_events"))

	b.die(t, ids)
	back, err = b.Replay(t.Context(), store.ReplayParams{IDs: []store.DeadID{{Letter: got.Letters[1].ID}}, By: "ann"})
	require.NoError(t, err)
	require.Equal(t, 1, back.Replayed, "by a number that was read before")
	require.Zero(t, get[int](t, b, "select count(*) from omnibox.dead_letters where state = 'open'"))
}

func TestReplayWaitsForNobodyElse(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	b.dead(t, 2)
	b.rows(t, 50)
	// a worker that settles other rows does not stand in the way
	err := pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "select from outbox_events where status = 'pending' for update"); err != nil {
			return err
		}
		got, err := b.Replay(t.Context(), store.ReplayParams{By: "ann"})
		require.Equal(t, 2, got.Replayed)
		return err
	})
	require.NoError(t, err)
}

// A person who replays many events by their ids does not make the database read
// all dead letters for each of them.
func TestLookingUpManyIdsReadsLettersOnce(t *testing.T) {
	t.Parallel()
	b := newAdminBox(t, store.Config{})
	ids := b.dead(t, 3000)
	b.exec(t, "vacuum analyze omnibox.dead_letters")
	b.exec(t, "vacuum analyze outbox_events")
	statement, err := os.ReadFile("sql/dead_resolve.sql")
	require.NoError(t, err)
	_, buffers := explain(t, b, strings.ReplaceAll(string(statement), "{{table}}", "outbox_events"), pgx.StrictNamedArgs{
		"table": "public.outbox_events", "events": ids[:500], "letters": make([]*int64, 500),
	})
	require.Less(t, buffers, 5000.0) // of which 1,500 and more are the rows themselves
}
