package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// message is the n-th of a partition.
func message(key string, offset int64) *omnibox.Event {
	return &omnibox.Event{
		Topic: "orders", Key: key, Type: "order.placed", Payload: json.RawMessage(fmt.Sprintf(`{"n":%d}`, offset)),
		Origin: &omnibox.Origin{MessageID: fmt.Sprintf("m%d", offset), Source: "shop", Offset: offset, Key: []byte(key)},
	}
}

func messages(n int) []*omnibox.Event {
	all := make([]*omnibox.Event, n)
	for i := range all {
		all[i] = message(fmt.Sprintf("k%d", i%5), int64(i))
	}
	return all
}

func (b *bed) inbox(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	cfg.Group = "billing"
	return b.open(t, cfg)
}

func land(t testing.TB, s *store.Store, events ...*omnibox.Event) store.Landed {
	t.Helper()
	landed, err := s.Land(t.Context(), events)
	require.NoError(t, err)
	return landed
}

// What the database refuses of a message is its own fault alone, and is kept.
//
// trap: 27
func TestAMessageThatTheDatabaseRefusesIsKept(t *testing.T) {
	t.Parallel()
	b := inboxBed(t, false)
	s := b.inbox(t, store.Config{})
	const secret = "hunter2"
	all := messages(13)
	all[1].Payload = json.RawMessage(`{"text":"` + secret + `\u0000"}`)
	all[2].Type = strings.Repeat("x", 101)
	all[3].Headers = map[string]string{"h": "a\x00" + secret}
	all[4].Origin.MessageID = strings.Repeat("y", 256)
	all[5].Origin.Source, all[5].TraceID = strings.Repeat("z", 300), strings.Repeat("t", 65)
	all[6].Topic = "orders\x00"
	all[7].Key = secret + "\xff"
	all[7].Origin.Key = []byte(all[7].Key)
	all[8].Payload = json.RawMessage(`{"text":"\ud800"}`)
	all[9].Origin.Unreadable, all[9].Origin.RawHeaders = "garbage", []byte(`[{"key":"\u0000","value":""}]`)
	all[10].Origin.Unreadable, all[10].Origin.RawHeaders = "garbage", []byte(`[{"key":`)
	all[11].Origin.OccurredAt = time.UnixMilli(1e16) // microseconds for milliseconds, and then some
	require.Equal(t, store.Landed{New: 2, Unreadable: 11}, land(t, s, all...))
	require.Equal(t, store.Landed{Duplicates: 13}, land(t, s, all...), "each has its id, or its place")
	require.Equal(t, 11, one[int](t, b, "select count(*) from omnibox.dead_letters where state = 'open' and error_class = 'permanent'"))
	require.Equal(t, 11, one[int](t, b, `select count(*) from inbox_events where status = 'failed' and attempts_made = max_attempts and body is not null and raw_headers is not null`))
	require.Equal(t, "row refused by a trigger, or for one of its values", one[string](t, b, `select distinct substring(error from 'row refused[^(]*[a-z]')
		from omnibox.dead_letters where error like 'the database refuses it: ERROR: row refused%'`))
	require.Zero(t, one[int](t, b, `select count(*) from omnibox.dead_letters d join inbox_events e on e.id = d.event_id where (d.error || e.last_error) like '%' || $1 || '%'`, secret))
	require.Equal(t, string(all[1].Payload.(json.RawMessage)), one[string](t, b, `select convert_from(body, 'UTF8') from inbox_events where "offset" = 1`))
	require.JSONEq(t, `[{"key": "h", "value": "YQBodW50ZXIy"}]`, one[string](t, b, `select raw_headers::text from inbox_events where "offset" = 3`))
	require.Equal(t, all[7].Origin.Key, one[[]byte](t, b, `select raw_key from inbox_events where "offset" = 7`))
	require.Equal(t, "orders:0:4", one[string](t, b, `select message_id from inbox_events where "offset" = 4`))

	// The others are in order, and those that were refused have their place.
	require.Zero(t, one[int](t, b, `select count(*) from (select seq, lag(seq) over (order by topic, "offset") as before from inbox_events) o where before >= seq`))
	s2 := b.inbox(t, store.Config{})
	shown, err := s2.ShowDead(t.Context(), store.ShowDeadParams{ID: store.DeadID{Letter: 1}, Payload: true})
	require.NoError(t, err)
	require.Equal(t, []any{"billing", int64(1), 0}, []any{shown.Row.ConsumerGroup, *shown.Row.Offset, *shown.Row.Partition})
	require.NotNil(t, shown.Row.RawHeaders)
}

// Another violation than that of the message's own uniqueness is no duplicate.
//
// trap: 28
func TestLandTakesNoOtherViolationForADuplicate(t *testing.T) {
	t.Parallel()
	for _, partitioned := range []bool{false, true} {
		b := inboxBed(t, partitioned)
		s := b.inbox(t, store.Config{})
		first := message("k", 1)
		require.Equal(t, 1, land(t, s, first).New)
		b.exec(t, `create unique index by_type on inbox_events (event_type`+map[bool]string{true: ", created_at"}[partitioned]+`)`)
		same := messages(3)[2:]
		id := one[string](t, b, "select id::text from inbox_events")
		require.NoError(t, same[0].ID.UnmarshalText([]byte(id)))
		if partitioned {
			b.exec(t, "alter table inbox_events add constraint picky check (message_id <> 'm2')")
		}
		landed, err := s.Land(t.Context(), same)
		require.ErrorContains(t, err, "land message orders:0:2 of public.inbox_events")
		require.Equal(t, store.Landed{}, landed)
		require.Equal(t, 1, one[int](t, b, "select count(*) from inbox_events"))
	}
}

// Nothing behind a message that cannot be landed at all is landed, so that a
// partition has no gap.
func TestLandLeavesNoGap(t *testing.T) {
	t.Parallel()
	b := inboxBed(t, false)
	s := b.inbox(t, store.Config{})
	b.exec(t, `alter table inbox_events add constraint picky check ("offset" <> 5)`)
	_, err := s.Land(t.Context(), messages(10))
	require.ErrorContains(t, err, "constraint picky of table inbox_events")
	require.Equal(t, 5, one[int](t, b, "select count(*) from inbox_events"))
	require.Equal(t, 4, one[int](t, b, `select max("offset") from inbox_events`))
	b.exec(t, `alter table inbox_events drop constraint picky`)
	require.Equal(t, store.Landed{New: 5, Duplicates: 5}, land(t, s, messages(10)...))
}

// Many messages are landed by two transactions: each partition keeps its order, and
// a message that comes in both halves is landed once.
func TestLandKeepsTheOrderOfEachPartition(t *testing.T) {
	t.Parallel()
	for _, partitioned := range []bool{false, true} {
		b := inboxBed(t, partitioned)
		s := b.inbox(t, store.Config{})
		var all []*omnibox.Event
		for partition := range int32(8) {
			for offset := range int64(50) {
				e := message(fmt.Sprintf("k%d", partition), offset)
				e.Origin.Partition = partition
				if offset%10 > 0 {
					e.Origin.MessageID = fmt.Sprintf("p%d-%d", partition, (offset*7)%50)
				}
				all = append(all, e)
			}
		}
		require.Equal(t, store.Landed{New: 8*45 + 5, Duplicates: 7 * 5}, land(t, s, all...))
		require.Zero(t, one[int](t, b, `select count(*) from (
			select "offset" - lag("offset") over (partition by partition order by seq) as step from inbox_events) e where step <= 0`))
	}
}

// A unique index of a partitioned table lets the same message through in another
// partition; the key table does not.
//
// trap: 22
func TestOnePartitionDoesNotHideAMessageFromAnother(t *testing.T) {
	t.Parallel()
	b := inboxBed(t, true)
	s := b.inbox(t, store.Config{})
	require.Equal(t, 3, land(t, s, messages(3)...).New)
	b.exec(t, "update inbox_events set created_at = created_at - interval '3 months'")
	b.exec(t, "update omnibox.inbox_keys set landed_at = landed_at - interval '3 months'")
	require.Equal(t, 3, land(t, s, messages(3)...).Duplicates)
	found, err := s.Unsettled(t.Context(), []string{"m0", "m2"})
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Len(t, fetchAll(t, claim(t, s), 10), 3, "rows are read from every partition")
}

// A message that was landed while rows were still kept is known when it comes again,
// though its row is deleted by now.
//
// trap: 25
func TestAMessageFromBeforeRowsWereDeletedIsKnownAfter(t *testing.T) {
	t.Parallel()
	settle := map[string]func(s *store.Store, events []omnibox.Event) error{
		"one by one": func(s *store.Store, events []omnibox.Event) error { return s.Commit(t.Context(), completed(events...)) },
		"in a handler's transaction": func(s *store.Store, events []omnibox.Event) error {
			return s.Complete(t.Context(), refs(events), func(context.Context, pgx.Tx, []*omnibox.Event) error { return nil })
		},
		"with a failed one": func(s *store.Store, events []omnibox.Event) error {
			return s.Commit(t.Context(), append(completed(events[:2]...), retryAfter(&events[2], time.Hour)))
		},
	}
	for _, mode := range []string{store.ClaimShard, store.ClaimRow} {
		for name, settle := range settle {
			t.Run(mode+"/"+name, func(t *testing.T) {
				t.Parallel()
				b := inboxBed(t, false)
				land(t, b.inbox(t, store.Config{Claim: mode}), messages(3)...)
				s := b.inbox(t, store.Config{Claim: mode, OnComplete: "delete"})
				require.NoError(t, settle(s, fetchAll(t, claim(t, s), 10)))
				require.LessOrEqual(t, one[int](t, b, "select count(*) from inbox_events"), 1)
				require.Equal(t, store.Landed{Duplicates: 3}, land(t, s, messages(3)...))
			})
		}
	}
}

// Keys are as good in the other order, wherever the order of messages is another.
//
// trap: 22
func TestLandingTheSameMessagesInReverseDoesNotDeadlock(t *testing.T) {
	t.Parallel()
	for _, partitioned := range []bool{false, true} {
		b := inboxBed(t, partitioned)
		s := b.inbox(t, store.Config{})
		// a holds m0, and b comes with m1 and m0: sorted it waits before it has m1
		tx := b.begin(t)
		insert := `insert into inbox_events (id, message_id, consumer_group, source, event_type, payload) values (gen_random_uuid(), $1, 'billing', 's', 'e', '{"a":1}')`
		if partitioned {
			insert = `insert into omnibox.inbox_keys (table_name, consumer_group, message_id, event_id, landed_at) values ('public.inbox_events', 'billing', $1, gen_random_uuid(), now())`
		}
		_, err := tx.Exec(t.Context(), insert, "m0")
		require.NoError(t, err)
		reversed := []*omnibox.Event{message("k", 1), message("k", 0)}
		reversed[0].Origin.Offset, reversed[1].Origin.Offset = 0, 1
		landed := make(chan store.Landed, 1)
		go func() {
			n, err := s.Land(t.Context(), reversed)
			if err != nil {
				t.Error(err)
			}
			landed <- n
		}()
		require.Eventually(t, func() bool {
			return one[bool](t, b, "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')")
		}, time.Minute, time.Millisecond)
		_, err = tx.Exec(t.Context(), insert, "m1")
		require.NoError(t, err, "m1 is not taken by who waits for m0")
		require.NoError(t, tx.Commit(t.Context()))
		require.Equal(t, store.Landed{Duplicates: 2}, <-landed)
	}
}

func TestAnInboxIsNotAnOutbox(t *testing.T) {
	t.Parallel()
	_, err := store.Open(t.Context(), inboxBed(t, false).db, store.Config{Table: "inbox_events", Owner: "w1"})
	require.ErrorContains(t, err, "it is an inbox: a group is needed")
	b := newBed(t)
	_, err = store.Open(t.Context(), b.db, store.Config{Table: "outbox_events", Owner: "w1", Group: "billing"})
	require.ErrorContains(t, err, "it has no column consumer_group, so it is no inbox")
	s := b.open(t, store.Config{})
	_, err = s.Land(t.Context(), messages(1))
	require.ErrorContains(t, err, "the table is an outbox")
	_, err = s.Unsettled(t.Context(), []string{"m"})
	require.ErrorContains(t, err, "the table is an outbox")
}

// A group never gets another group's messages, and is told to share or to move.
func TestGroupsShareATableOnlyByRows(t *testing.T) {
	t.Parallel()
	b := inboxBed(t, false)
	billing := b.inbox(t, store.Config{})
	shipping := b.open(t, store.Config{Group: "shipping", Owner: "w2", Pipeline: "shipping"})
	require.NoError(t, billing.RefuseForeignGroups(t.Context()))
	land(t, billing, messages(4)...)
	require.NoError(t, billing.RefuseForeignGroups(t.Context()))
	land(t, shipping, messages(4)...)
	require.ErrorContains(t, billing.RefuseForeignGroups(t.Context()),
		`public.inbox_events has pending messages of another group, "shipping": give each group a table of its own, or set claim: row`)
	require.Equal(t, store.HealthFail, check(t, billing, "other groups").State)

	rows := store.Config{Claim: store.ClaimRow}
	byRow := b.inbox(t, rows)
	require.NoError(t, byRow.RefuseForeignGroups(t.Context()))
	require.Equal(t, store.HealthOK, check(t, byRow, "other groups").State)
	rows.Group, rows.Owner, rows.Pipeline = "shipping", "w2", "shipping"
	a, c := claim(t, byRow), claim(t, b.open(t, rows))
	ours, theirs := fetchAll(t, a, 10), fetchAll(t, c, 10)
	require.Len(t, ours, 4)
	require.Len(t, theirs, 4, "what one has leased keeps no other from its own")
	require.Equal(t, 4, one[int](t, b, "select count(*) from inbox_events where consumer_group = 'shipping' and locked_by = 'w2'"))
}

func TestConsumersAreSeenAsTheyReport(t *testing.T) {
	t.Parallel()
	b := inboxBed(t, false)
	s := b.inbox(t, store.Config{})
	part := func(n int32, position int64) store.ConsumerPartition {
		return store.ConsumerPartition{Topic: "orders", Partition: n, Position: position, HighWater: 10}
	}
	seen := func() (all []string) {
		list, err := s.Consumers(t.Context())
		require.NoError(t, err)
		for _, p := range list {
			require.False(t, p.UpdatedAt.IsZero())
			all = append(all, fmt.Sprintf("%s %s/%s %d at %d of %d %v %q", p.Topic, p.Owner, p.Member, p.Partition, p.Position, p.HighWater, p.Paused, p.Error))
		}
		return all
	}
	require.NoError(t, s.ReportConsumer(t.Context(), "a", []store.ConsumerPartition{part(1, 3), part(0, 2)}))
	require.Equal(t, []string{`orders w1/a 0 at 2 of 10 false ""`, `orders w1/a 1 at 3 of 10 false ""`}, seen())
	paused := part(1, 5)
	paused.Paused, paused.Error = true, "full"
	require.NoError(t, s.ReportConsumer(t.Context(), "b", []store.ConsumerPartition{paused}))
	require.NoError(t, s.ReportConsumer(t.Context(), "a", []store.ConsumerPartition{part(0, 4), {Topic: "gone", Partition: store.NoPartition, Error: "no such topic"}}))
	require.Equal(t, []string{`gone w1/a -1 at 0 of 0 false "no such topic"`, `orders w1/a 0 at 4 of 10 false ""`, `orders w1/b 1 at 5 of 10 true "full"`}, seen())
	require.NoError(t, s.ForgetConsumer(t.Context(), "a"))
	require.Equal(t, []string{`orders w1/b 1 at 5 of 10 true "full"`}, seen())
	require.NoError(t, b.open(t, store.Config{Group: "g", Pipeline: "other"}).ForgetConsumer(t.Context(), "b"))
	require.Len(t, seen(), 1, "of another pipeline")
}

// Who fills the table can ask often: the answer reads index entries, and few of them
// while the table is far from full.
func TestAskingWhetherATableIsFullIsBounded(t *testing.T) {
	t.Parallel()
	b := inboxBed(t, false)
	b.exec(t, `insert into inbox_events (id, message_id, consumer_group, source, event_type, payload)
		select gen_random_uuid(), g, 'billing', 's', 'e', '{"a":1}' from generate_series(1, 50000) g`)
	b.exec(t, "vacuum analyze inbox_events")
	s := b.inbox(t, store.Config{})
	full := func(most int) bool {
		is, err := s.Full(t.Context(), most)
		require.NoError(t, err)
		return is
	}
	explain := func(most int) string {
		tx := b.begin(t)
		defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
		_, err := tx.Exec(t.Context(), store.ByIndexForTest)
		require.NoError(t, err)
		rows, err := tx.Query(t.Context(), "explain (analyze, buffers) "+s.StatementsForTest()["is_full"], pgx.NamedArgs{"most": most})
		require.NoError(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return strings.Join(plan, "\n")
	}
	require.True(t, full(1000))
	plan := explain(1000)
	require.Contains(t, plan, "Index Only Scan using inbox_events_due")
	require.NotContains(t, plan, "Seq Scan on")
	require.Contains(t, plan, "Heap Fetches: 0")
	require.Regexp(t, `Limit .*rows=1000 loops=1\)`, plan)
	require.False(t, full(50_001))
	require.NotRegexp(t, `Limit .*rows=(1000|50000) loops=1\)`, explain(50_001), "nothing is counted")

	b.exec(t, "update inbox_events set status = 'completed', completed_at = now() where seq between 10 and 49990")
	require.False(t, full(20), "the places between are not pending")
	require.True(t, full(19))
	b.exec(t, "update inbox_events set seq = null where seq = 5")
	require.True(t, full(19), "also those without a place")
	require.False(t, full(20))
}

func TestWhatAMessageLacksIsFilledIn(t *testing.T) {
	t.Parallel()
	b := inboxBed(t, false)
	s := b.inbox(t, store.Config{})
	bare := &omnibox.Event{Topic: "orders", Origin: &omnibox.Origin{Partition: 2, Offset: 7, Unreadable: "garbage"}}
	require.Equal(t, store.Landed{New: 1, Unreadable: 1}, land(t, s, message("k", 1), bare))
	require.Empty(t, bare.Key, "what the caller has is left alone")
	require.Equal(t, "orders:2:7 orders orders:2:7 unknown", one[string](t, b,
		`select message_id || ' ' || source || ' ' || partition_key || ' ' || event_type from inbox_events where "offset" = 7`))
	_, err := s.Land(t.Context(), []*omnibox.Event{message("k", 2), {Topic: "orders"}})
	require.ErrorContains(t, err, "message 2 of 2 has no Origin: set where it came from")
	require.Equal(t, 2, one[int](t, b, "select count(*) from inbox_events"))
}

func TestLandingWakesWorkers(t *testing.T) {
	t.Parallel()
	for _, partitioned := range []bool{false, true} {
		b := inboxBed(t, partitioned)
		s := b.inbox(t, store.Config{})
		conn, err := b.db.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
		_, err = conn.Exec(t.Context(), fmt.Sprintf("listen omnibox_%d", one[uint32](t, b, "select 'inbox_events'::regclass::oid")))
		require.NoError(t, err)
		land(t, s, message("k", 1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n, err := conn.Conn().WaitForNotification(ctx)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(fetchAll(t, claim(t, s), 1)[0].Fence.Slot), n.Payload)
	}
}

// A message with a body is landed also where rows are leased: nothing is sent from
// an inbox.
func TestABodyIsLandedWhereRowsAreLeased(t *testing.T) {
	t.Parallel()
	b := inboxBed(t, false)
	s := b.inbox(t, store.Config{Claim: store.ClaimRow})
	require.NoError(t, s.Register(t.Context(), s.Settings()))
	e := message("k", 1)
	e.Payload, e.Body, e.ContentType = nil, []byte{1, 2}, "application/x-protobuf"
	require.Equal(t, store.Landed{New: 1}, land(t, s, e))
}
