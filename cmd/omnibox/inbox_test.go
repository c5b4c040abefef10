package main

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/store"
)

// newInboxCLI has one inbox, named billing, on a fresh database.
func newInboxCLI(t *testing.T) (*cli, *store.Store) {
	t.Helper()
	url := devtest.Database(t)
	c := &cli{db: openPool(t, url), config: writeConfig(t, fmt.Sprintf(
		"databases: { main: { url: %q } }\ninboxes: { billing: { topics: [orders], group: billing } }\n", url))}
	r := c.run(t, "migrate up")
	require.Zero(t, r.code, r.err)
	s, err := store.Open(t.Context(), c.db, store.Config{Pipeline: "billing", Owner: "worker-1", Group: "billing"})
	require.NoError(t, err)
	_, err = s.Land(t.Context(), []*omnibox.Event{
		received("m-1", 1), received("m-2", 2),
		{
			Topic: "orders", Key: "k", Type: "orders", Body: []byte("garbage"),
			Origin: &omnibox.Origin{MessageID: "orders:0:3", Source: "orders", Offset: 3, Unreadable: "value is not JSON"},
		},
	})
	require.NoError(t, err)
	return c, s
}

func received(id string, offset int64) *omnibox.Event {
	return &omnibox.Event{
		Topic: "orders", Key: "4711", Type: "order.placed", Payload: json.RawMessage(`{"card":"4242"}`),
		Origin: &omnibox.Origin{MessageID: id, Source: "shop", Offset: offset, Key: []byte("4711")},
	}
}

func TestWhatWaitsInAnInbox(t *testing.T) {
	t.Parallel()
	c, _ := newInboxCLI(t)
	r := c.run(t, "events list")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "4711")
	require.Contains(t, r.out, "due")
	require.NotContains(t, r.out, "4242")

	r = c.run(t, "events list billing --topic orders --key 4711 --limit 1 -o json")
	require.Zero(t, r.code, r.err)
	var views []waitingView
	require.NoError(t, json.Unmarshal([]byte(r.out), &views))
	require.Len(t, views, 1)
	require.Equal(t, "due", views[0].State)

	c.exec(t, "update inbox_events set lease_until = now() + interval '1 minute', locked_by = 'workflow:billing', locked_at = now() where message_id = 'm-1'")
	r = c.run(t, "events list -o json")
	require.NoError(t, json.Unmarshal([]byte(r.out), &views))
	require.Equal(t, []string{"with its workflow", "behind its key"}, []string{views[0].State, views[1].State})

	r = c.run(t, "events list --key nobody")
	require.Equal(t, exitNothing, r.code)
	require.Contains(t, r.err, "nothing waits")
}

func TestAMessageIsShownByItsID(t *testing.T) {
	t.Parallel()
	c, _ := newInboxCLI(t)
	r := c.run(t, "events show m-2")
	require.Zero(t, r.code, r.err)
	for _, want := range []string{"m-2", "shop", "billing", "partition 0, offset 2", "16 bytes"} {
		require.Contains(t, r.out, want)
	}
	require.NotContains(t, r.out, "4242")
	require.Contains(t, c.run(t, "events show m-2 --payload").out, "4242")

	r = c.run(t, "events show orders:0:3 --payload")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "value is not JSON")
	require.Contains(t, r.out, fmt.Sprintf("%x", "garbage"))

	r = c.run(t, "events show m-9")
	require.Equal(t, exitNothing, r.code)
	require.Contains(t, r.err, "no event or message has the id m-9")
}

func TestStatusShowsWhoConsumes(t *testing.T) {
	t.Parallel()
	c, s := newInboxCLI(t)
	require.Contains(t, c.run(t, "status").out, "Nobody consumes for billing.")

	require.NoError(t, s.ReportConsumer(t.Context(), "worker-1/1", []store.ConsumerPartition{
		{Topic: "orders", Partition: 0, Position: 4, HighWater: 10},
		{Partition: store.NoPartition, Error: "topic refunds does not exist"},
	}))
	r := c.run(t, "status")
	require.Zero(t, r.code, r.err)
	for _, want := range []string{"consumed as group billing", "consuming", "worker-1", "topic refunds does not exist"} {
		require.Contains(t, r.out, want)
	}
	var views []statusView
	require.NoError(t, json.Unmarshal([]byte(c.run(t, "status -o json").out), &views))
	require.Equal(t, int64(6), views[0].Consumers[1].Lag)
	require.False(t, views[0].Consumers[1].Stale)

	c.exec(t, "update omnibox.consumers set updated_at = now() - interval '1 minute'")
	require.Contains(t, c.run(t, "status").out, "not heard of for")
}

func TestDeadMessagesAreReplayed(t *testing.T) {
	t.Parallel()
	c, _ := newInboxCLI(t)
	r := c.run(t, "dead list")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "value is not JSON")
	r = c.run(t, "dead replay --all --yes")
	require.Zero(t, r.code, r.err)
	require.Equal(t, "pending", c.text(t, "select status from inbox_events where message_id = 'orders:0:3'"))
}

// What could not be read is shown with what a replay does, and a tombstone without
// what stands for its value in the table.
func TestADeadMessageThatCannotBeReadIsShown(t *testing.T) {
	t.Parallel()
	c, s := newInboxCLI(t)
	_, err := s.Land(t.Context(), []*omnibox.Event{{
		Topic: "orders", Key: "k", Type: "orders", ContentType: "application/octet-stream",
		Origin: &omnibox.Origin{MessageID: "orders:0:4", Source: "orders", Offset: 4, Unreadable: "value is null", RawHeaders: []byte("[]")},
	}})
	require.NoError(t, err)
	id := c.text(t, "select id::text from inbox_events where message_id = 'orders:0:4'")
	for _, flag := range []string{"", " --payload"} {
		r := c.run(t, "dead show "+id+flag)
		require.Zero(t, r.code, r.err)
		require.Contains(t, r.out, "it could not be read: omnibox dead discard")
		require.Contains(t, r.out, "none: it came without a value")
		require.NotContains(t, r.out, "octet-stream")
	}
}

func TestDoctorLooksAtTheHandler(t *testing.T) {
	t.Parallel()
	c, _ := newInboxCLI(t)
	url := c.db.Config().ConnString()
	c.config = writeConfig(t, fmt.Sprintf(
		"databases: { main: { url: %q } }\nbrokers: { kafka: { addresses: [\"127.0.0.1:1\"] } }\n"+
			"inboxes: { billing: { topics: [orders], group: billing, handler: { sql: \"select apply($1)\" } } }\n", url))
	r := c.run(t, "doctor")
	require.Regexp(t, `(?m)^fail +pipeline billing +handler +.*function apply\(.*\) does not exist`, r.out)
	require.Contains(t, r.out, "correct inboxes.billing.handler.sql")
	c.exec(t, "create function apply(m jsonb) returns void language sql as ''")
	require.Regexp(t, `(?m)^ok +pipeline billing +handler `, c.run(t, "doctor").out)
}
