package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

const inboxName = "billing"

// inbox gives the worker an inbox of the topic that the outbox publishes to, and a
// table for its effects.
func (b *bed) inbox(change func(*config.Inbox)) {
	b.t.Helper()
	b.keepEffects()
	require.NoError(b.t, b.broker.CreateTopic(topic, 4))
	before := b.change
	b.change = func(cfg *config.Config) {
		before(cfg)
		parsed, err := config.Parse("inbox", fmt.Appendf(nil, `
databases: { main: { url: %q } }
brokers: { kafka: { addresses: ["127.0.0.1:1"] } }
inboxes: { billing: { topics: [%s], group: billing, shards: 2, retry: { base: 100ms, max: 1s } } }
`, b.url, topic), nil)
		require.NoError(b.t, err)
		in := parsed.Inboxes[inboxName]
		change(&in)
		cfg.Inboxes = map[string]config.Inbox{inboxName: in}
	}
}

// keepEffects makes the table that invoice writes to.
func (b *bed) keepEffects() {
	b.t.Helper()
	_, err := b.db.Exec(b.t.Context(), "create table if not exists invoices (seq bigserial, key text not null, n int not null, message_id text not null)")
	require.NoError(b.t, err)
}

// consumers are those of the bed's broker.
func (b *bed) consumers() worker.Option {
	return worker.Consumer("kafka", func(sub broker.Subscription) (broker.Consumer, error) { return b.broker.Consumer(sub) })
}

type placed struct{ N int }

// invoice is a handler that writes what it got.
func invoice(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error {
	_, err := tx.Exec(ctx, "insert into invoices (key, n, message_id) values ($1, $2, $3)", m.Key, m.Payload.N, m.MessageID)
	return err
}

func invoicing(handle func(context.Context, pgx.Tx, inbox.Message[placed]) error) worker.Option {
	r := inbox.NewRouter()
	inbox.HandleTx(r, topic, "order.placed", "", handle)
	return worker.Router(inboxName, r, inbox.Route{Source: topic, Type: "order.placed"})
}

// effects are what handlers have written, in order, as "key/n".
func (b *bed) effects() (all []string) {
	b.t.Helper()
	rows, err := b.db.Query(b.t.Context(), "select key || '/' || n from invoices order by seq")
	require.NoError(b.t, err)
	all, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(b.t, err)
	return all
}

func (b *bed) awaitEffects(n int) []string {
	b.t.Helper()
	eventually(b.t, fmt.Sprintf("%d effects", n), func() bool { return ask[int](b, "select count(*) from invoices") >= n })
	return b.effects()
}

// What a service enqueues another one applies, in order of the key, once.
func TestFromOutboxToInbox(t *testing.T) {
	t.Parallel()
	for _, lane := range []string{config.LaneBatch, config.LaneAuto, config.LaneWorkflow} {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.inbox(func(in *config.Inbox) { in.Lane = lane })
			b.start(b.consumers(), invoicing(invoice)).awaitReady()
			for n := 1; n <= 5; n++ {
				b.enqueue(event("a", n), event("b", n))
			}
			got := b.awaitEffects(10)
			require.Equal(t, series("a", 1, 5), only("a", got))
			require.Equal(t, series("b", 1, 5), only("b", got))
			eventually(t, "all completed", func() bool {
				return ask[int](b, "select count(*) from inbox_events where status = 'completed'") == 10
			})
			require.Zero(t, ask[int](b, "select count(*) from omnibox.dead_letters"))
		})
	}
}

// A handler that fails after its write leaves nothing behind, comes again, and
// what is behind it in its key waits.
//
// traps: 23, 24
func TestAFailedHandlerLeavesNothingAndComesAgain(t *testing.T) {
	t.Parallel()
	for _, lane := range []string{config.LaneBatch, config.LaneAuto, config.LaneWorkflow} {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.inbox(func(in *config.Inbox) { in.Lane = lane })
			var tries atomic.Int64
			b.start(b.consumers(), invoicing(func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error {
				if err := invoice(ctx, tx, m); err != nil {
					return err
				}
				if m.Key == "a" && m.Payload.N == 1 && tries.Add(1) < 3 {
					return errors.New("ledger is closed")
				}
				return nil
			})).awaitReady()
			b.enqueue(event("a", 1), event("a", 2), event("b", 1))
			got := b.awaitEffects(3)
			require.Equal(t, series("a", 1, 2), only("a", got))
			require.Equal(t, int64(3), tries.Load())
			require.Len(t, got, 3)
		})
	}
}

func TestADeadMessageIsReplayed(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inbox(func(*config.Inbox) {})
	var mended atomic.Bool
	b.start(b.consumers(), invoicing(func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error {
		if !mended.Load() {
			return omnibox.Permanent(errors.New("no such customer"))
		}
		return invoice(ctx, tx, m)
	})).awaitReady()
	b.enqueue(event("a", 1))
	eventually(t, "a dead letter", func() bool { return ask[int](b, "select count(*) from omnibox.dead_letters where state = 'open'") == 1 })
	require.Equal(t, inboxName, ask[string](b, "select pipeline from omnibox.dead_letters"))
	mended.Store(true)
	report, err := b.inboxStore().Replay(t.Context(), store.ReplayParams{By: "test"})
	require.NoError(t, err)
	require.Equal(t, 1, report.Replayed)
	require.Equal(t, series("a", 1, 1), b.awaitEffects(1))
}

func (b *bed) inboxStore() *store.Store {
	b.t.Helper()
	box, _ := b.config().Box(inboxName)
	s, err := store.Open(b.t.Context(), b.db, box.Store("test"))
	require.NoError(b.t, err)
	return s
}

// A message that nobody can read is kept, and the partition goes on.
//
// trap: 27
func TestGarbageIsKeptAndThePartitionGoesOn(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inbox(func(*config.Inbox) {})
	b.start(b.consumers(), invoicing(invoice)).awaitReady()
	b.broker.Append(
		broker.Message{Topic: topic, Key: []byte("a"), Value: []byte{0xff, 0x00, 0x01}},
		broker.Message{Topic: topic, Key: []byte("a")},
		broker.Message{Topic: topic, Key: []byte("a"), Value: []byte(`{"n":`), Headers: []broker.Header{{Key: "event_type", Value: []byte("order.placed")}}},
		broker.Message{Topic: topic, Key: []byte("a"), Value: []byte(`{"n":7}`), Headers: []broker.Header{{Key: "event_type", Value: []byte("order.placed")}, {Key: "event_id", Value: []byte("seven")}}},
	)
	require.Equal(t, series("a", 7, 7), b.awaitEffects(1))
	require.Equal(t, 3, ask[int](b, "select count(*) from omnibox.dead_letters where state = 'open' and error_class = 'permanent'"))
	require.Equal(t, []byte{0xff, 0x00, 0x01}, ask[[]byte](b, "select body from inbox_events where status = 'failed' order by seq limit 1"))
}

// The group starts again from the first message: nothing is applied twice.
//
// trap: 25
func TestAGroupThatStartsAgainAppliesNothingTwice(t *testing.T) {
	t.Parallel()
	for _, complete := range []string{"keep", "delete"} {
		t.Run(complete, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.inbox(func(in *config.Inbox) { in.OnComplete = complete })
			first := b.start(b.consumers(), invoicing(invoice)).awaitReady()
			b.enqueue(event("a", 1), event("b", 1))
			b.awaitEffects(2)
			first.stop()
			b.start(invoicing(invoice), worker.Consumer("kafka", func(sub broker.Subscription) (broker.Consumer, error) {
				sub.Group = "again" // of the broker: it has committed nothing
				return b.broker.Consumer(sub)
			})).awaitReady()
			b.enqueue(event("a", 2), event("b", 2))
			got := b.awaitEffects(4)
			require.Equal(t, series("a", 1, 2), only("a", got))
			require.Equal(t, series("b", 1, 2), only("b", got))
		})
	}
}

// The statement of the configuration is all that a stock worker needs.
func TestAStatementHandlesMessages(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inbox(func(in *config.Inbox) { in.Handler.SQL = "select apply($1)" })
	_, err := b.db.Exec(t.Context(), `create function apply(event jsonb) returns void language plpgsql as $$
		begin
			insert into invoices (key, n, message_id)
				values (event ->> 'key', (event -> 'payload' ->> 'n')::int, event ->> 'message_id');
			if (event -> 'payload' ->> 'n')::int < 0 then
				raise check_violation using message = 'negative: ' || (event ->> 'payload');
			end if;
		end $$`)
	require.NoError(t, err)
	b.start(b.consumers()).awaitReady()
	b.enqueue(event("a", 1), event("b", -1))
	require.Equal(t, series("a", 1, 1), b.awaitEffects(1))
	eventually(t, "a dead letter", func() bool { return ask[int](b, "select count(*) from omnibox.dead_letters") == 1 })
	letter := ask[string](b, "select error from omnibox.dead_letters")
	require.Contains(t, letter, "23514")
	require.NotContains(t, letter, "negative")
	require.Len(t, b.effects(), 1)
}

// Leases of slots would keep the other group from its messages.
func TestAnInboxRefusesATableThatAnotherGroupUses(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inbox(func(in *config.Inbox) { in.Handler.SQL = "select $1::jsonb" })
	_, err := b.db.Exec(t.Context(), `insert into inbox_events (id, message_id, consumer_group, source, event_type, payload)
		values (gen_random_uuid(), 'm', 'another', 's', 'e', '{"a":1}')`)
	require.NoError(t, err)
	w := b.start(b.consumers())
	eventually(t, "an error that helps", func() bool {
		return strings.Contains(w.logs.String(), "pending messages of another group") && strings.Contains(w.logs.String(), "set claim: row")
	})
	require.False(t, w.Ready())
	_, err = b.db.Exec(t.Context(), "delete from inbox_events")
	require.NoError(t, err)
	w.awaitReady()
}

// The worker says what is missing before it runs, and runs nothing.
//
// trap: T12
func TestAnInboxWithoutHandlersDoesNotStart(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inbox(func(*config.Inbox) {})
	_, err := worker.New(b.config(), b.consumers())
	require.ErrorContains(t, err, "inboxes.billing: there is no handler: set handler.sql")

	r := inbox.NewRouter()
	inbox.HandleTx(r, topic, "order.placed", "", invoice)
	_, err = worker.New(b.config(), b.consumers(), worker.Router(inboxName, r, inbox.Route{Source: topic, Type: "order.cancelled"}))
	require.ErrorContains(t, err, "order.cancelled")

	cfg := b.config()
	in := cfg.Inboxes[inboxName]
	in.Ack = config.AckExactlyOnce
	cfg.Inboxes[inboxName] = in
	r = inbox.NewRouter()
	inbox.Handle(r, topic, "order.placed", "", func(context.Context, inbox.Message[placed]) error { return nil })
	_, err = worker.New(cfg, b.consumers(), worker.Router(inboxName, r))
	require.ErrorContains(t, err, "do not run in the completing transaction: source \"orders\", type \"order.placed\"")
}

// A worker dies without a word in the middle of a handler: another one goes on,
// and the effect happens once.
func TestConsumersMoveToAnotherWorker(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inbox(func(in *config.Inbox) { in.Lease = 5 * time.Second })
	first := b.start(b.consumers(), invoicing(invoice)).awaitReady()
	b.enqueue(event("a", 1))
	b.awaitEffects(1)
	b.start(b.consumers(), invoicing(invoice)).awaitReady()
	first.stop()
	b.enqueue(event("a", 2))
	require.Equal(t, series("a", 1, 2), b.awaitEffects(2))

	v, err := b.temporal().QueryWorkflow(t.Context(), workflows.ConsumerID(b.prefix, inboxName, 0), "", workflows.QueryStatus)
	require.NoError(t, err)
	var state workflows.ConsumerState
	require.NoError(t, v.Get(&state))
	require.Equal(t, int64(1), state.Landed, "the first run told what it did")
}

// With temporal_down: direct a worker consumes and handles without Temporal.
func TestAnInboxWorksWithoutTemporal(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.outbox(func(o *config.Outbox) { o.TemporalDown = "direct" })
	b.inbox(func(in *config.Inbox) { in.TemporalDown = "direct" })
	cfg := b.config()
	cfg.Temporal.Address = freeAddress(t)
	b.startWith(cfg, b.consumers(), invoicing(invoice)).awaitReady()
	b.enqueue(event("a", 1), event("a", 2))
	require.Equal(t, series("a", 1, 2), b.awaitEffects(2))
}

// A handler that takes longer than a lease is run once, in either lane.
func TestAHandlerSlowerThanALease(t *testing.T) {
	t.Parallel()
	for _, lane := range []string{config.LaneBatch, config.LaneWorkflow} {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.inbox(func(in *config.Inbox) { in.Lane, in.Lease = lane, 5*time.Second })
			var runs atomic.Int64
			handler := invoicing(func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error {
				runs.Add(1)
				if _, err := tx.Exec(ctx, "select pg_sleep(12)"); err != nil {
					return err
				}
				return invoice(ctx, tx, m)
			})
			b.start(b.consumers(), handler).awaitReady()
			b.start(b.consumers(), handler).awaitReady()
			b.enqueue(event("a", 1))
			require.Equal(t, series("a", 1, 1), b.awaitEffects(1))
			eventually(t, "completed", func() bool {
				return ask[int](b, "select count(*) from inbox_events where status = 'completed'") == 1
			})
			require.Equal(t, int64(1), runs.Load())
		})
	}
}

// A paused inbox lands, and handles nothing.
func TestAPausedInboxLands(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.inbox(func(*config.Inbox) {})
	b.start(b.consumers(), invoicing(invoice)).awaitReady()
	_, err := b.inboxStore().Pause(t.Context(), store.PauseParams{By: "test"})
	require.NoError(t, err)
	b.enqueue(event("a", 1))
	eventually(t, "landed", func() bool { return ask[int](b, "select count(*) from inbox_events where status = 'pending'") == 1 })
	require.Empty(t, b.effects())
	_, err = b.inboxStore().Resume(t.Context())
	require.NoError(t, err)
	require.Equal(t, series("a", 1, 1), b.awaitEffects(1))
}

// What is behind a dead message of its key dies with it, waits, or passes it.
//
// trap: 3
func TestBehindADeadMessage(t *testing.T) {
	t.Parallel()
	for behind, want := range map[string]struct{ effects, dead int }{
		"block": {2, 1}, "skip": {2, 1}, "follow": {0, 3},
	} {
		t.Run(behind, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.inbox(func(in *config.Inbox) { in.BehindFailure, in.Lane = behind, config.LaneBatch })
			b.start(b.consumers(), invoicing(func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error {
				if m.Payload.N > 1 {
					return invoice(ctx, tx, m)
				}
				if ask[int](b, "select count(*) from inbox_events") < 3 { //nolint:contextcheck // those behind are not there yet
					return omnibox.RetryAt(time.Now().Add(100 * time.Millisecond))
				}
				return omnibox.Permanent(errors.New("unknown customer"))
			})).awaitReady()
			b.enqueue(event("a", 1), event("a", 2), event("a", 3))
			eventually(t, "all settled", func() bool {
				return ask[int](b, "select count(*) from inbox_events where status <> 'pending'") == 3
			})
			require.Len(t, b.effects(), want.effects)
			require.Equal(t, want.dead, ask[int](b, "select count(*) from omnibox.dead_letters"))
		})
	}
}
