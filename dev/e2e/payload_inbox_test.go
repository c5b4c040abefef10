package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

// leaksOfSQL is how many more ways there are in an inbox: what the database says of
// what it refuses, and what nobody can read.
const leaksOfSQL = 4

// What a handler, the database or the reader of messages says of a payload stays out
// of Temporal, the log and the errors, as in an outbox.
//
// trap: T3
func TestPayloadsStayInTheInbox(t *testing.T) {
	t.Parallel()
	for _, lane := range []string{"batch", "auto", "workflow"} {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			payloadsStayInInbox(t, lane)
		})
	}
}

func payloadsStayInInbox(t *testing.T, lane string) {
	t.Helper()
	b := newBed(t)
	namespace := devtest.Namespace(t)
	b.change = func(cfg *config.Config) { cfg.Temporal.Namespace = namespace }
	b.inbox(func(in *config.Inbox) { in.Lane = lane })
	secret := "secret-" + rand.Text()
	type named struct {
		N    int
		Name string
	}
	r := inbox.NewRouter()
	inbox.HandleTx(r, topic, "order.placed", "", func(ctx context.Context, tx pgx.Tx, m inbox.Message[named]) (err error) {
		switch m.Payload.N - leaks {
		case 1:
			_, err = tx.Exec(ctx, "select $1::text::int", m.Payload.Name)
		case 2:
			_, err = tx.Exec(ctx, "do $$ begin raise exception 'bad name: "+m.Payload.Name+"' using detail = '"+m.Payload.Name+"'; end $$")
		case 3:
			panic("bad name: " + m.Payload.Name)
		default:
			err = invoice(ctx, tx, inbox.Message[placed]{Meta: m.Meta, Payload: placed{m.Payload.N}})
		}
		return err
	})
	leaky := &step{run: func(_ context.Context, e *omnibox.Event, n int) error { return leak(e, n) }}
	w := b.start(b.consumers(), worker.Router(inboxName, r), worker.Step(inboxName, leaky)).awaitReady()
	watched := b.watch(namespace, workflows.PollerID(b.prefix, inboxName, 0), workflows.PollerID(b.prefix, inboxName, 1))
	message := func(key, value string) broker.Message {
		return broker.Message{Topic: topic, Key: []byte(key), Value: []byte(value), Headers: []broker.Header{
			{Key: "event_id", Value: []byte(uuid.NewString())}, {Key: "event_type", Value: []byte("order.placed")},
		}}
	}
	const ways = leaks + leaksOfSQL
	b.broker.Append(message("unreadable", `{"name": "`+secret+`", "n": `))
	for n := 1; n < ways; n++ {
		b.broker.Append(message(fmt.Sprint("leak", n), fmt.Sprintf(`{"n": %d, "name": %q, "more": {"again": %[2]q}}`, n, secret)))
	}
	b.broker.Append(message("good", fmt.Sprintf(`{"n": 100, "name": %q}`, secret)))
	require.Equal(t, []string{"good/100"}, b.awaitEffects(1))
	eventually(t, "all others dead", func() bool { return ask[int](b, "select count(*) from omnibox.dead_letters") == ways })
	described := watched()
	w.stop()
	b.requireNowhere(secret, "inbox_events", map[string][]byte{
		"log": []byte(w.logs.String()), "descriptions": described, "the namespace": histories(t, b.temporal(), namespace),
	})
}
