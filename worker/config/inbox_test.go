package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// both is a file with an outbox and an inbox.
func both(inbox string) []byte {
	return []byte("databases: {main: {url: postgres://h/d}}\nbrokers: {kafka: {addresses: [\"h:1\"]}}\n" + inbox)
}

func TestInbox(t *testing.T) {
	t.Parallel()
	c, err := Parse("f", both("inboxes: {billing: {topics: [orders], group: billing, lease: 20s}}"),
		[]string{"OMNIBOX_INBOXES_BILLING_CONSUMERS=3", "OMNIBOX_INBOXES_BILLING_MESSAGE_ID_PATH=meta.id", "OMNIBOX_INBOXES_BILLING_HANDLER_SQL=select f($1)"})
	require.NoError(t, err)
	require.Empty(t, c.Outboxes, "who has an inbox need not have an outbox")
	i := c.Inboxes["billing"]
	require.Equal(t, []string{"orders"}, i.Topics)
	require.Equal(t, "inbox_events", i.Table)
	require.Equal(t, 20*time.Second, i.Lease)
	require.Equal(t, 3, i.Consumers)
	require.Equal(t, "meta.id", i.Message.IDPath)
	require.Equal(t, "select f($1)", i.Handler.SQL)
	require.Equal(t, AckOnPersist, i.Ack)

	b, found := c.Box("billing")
	require.True(t, found)
	require.Equal(t, "inboxes.billing", b.Path())
	require.Equal(t, "billing", b.Store("me").Group)
	require.Equal(t, "inbox_events", b.Store("me").Table)
}

func TestWhatIsWrongWithInboxes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ file, says string }{
		"the name of an outbox": {
			"outboxes: {a: {}}\ninboxes: {a: {topics: [t], group: g}}", "inboxes.a: there is an outbox of this name",
		},
		"the table of an outbox": {
			"outboxes: {a: {}}\ninboxes: {b: {topics: [t], group: g, table: outbox_events}}", "an outbox and an inbox need tables of their own",
		},
		"a table and group twice": {
			"inboxes: {a: {topics: [t], group: g}, b: {topics: [u], group: g}}", "one inbox takes several topics",
		},
		"a table twice by shard": {
			"inboxes: {a: {topics: [t], group: g}, b: {topics: [t], group: h, claim: row}}", "inboxes.a: inboxes a and b share table inbox_events: both need claim: row, or tables of their own",
		},
		"commit on failed without its ack": {
			"inboxes: {a: {topics: [t], group: g, commit_on_failed: true}}", "has a meaning only with ack: on-success",
		},
		"codes without sql": {
			"inboxes: {a: {topics: [t], group: g, handler: {permanent: [23]}}}", "lists SQLSTATE codes, but has no sql",
		},
		"two ids": {
			"inboxes: {a: {topics: [t], group: g, message: {id_header: x, id_path: y}}}", "id_header and id_path exclude each other",
		},
		"a code that is none": {
			"inboxes: {a: {topics: [t], group: g, handler: {sql: f($1), permanent: [\"2\"]}}}", `inboxes.a.handler.permanent: "2" is no SQLSTATE`,
		},
		"a code in small letters": {
			"inboxes: {a: {topics: [t], group: g, handler: {sql: f($1), transient: [zz]}}}", `inboxes.a.handler.transient: "zz" is no SQLSTATE`,
		},
		"a code twice": {
			"inboxes: {a: {topics: [t], group: g, handler: {sql: f($1), permanent: [\"23\"], transient: [\"23\"]}}}", "SQLSTATE 23 is among permanent and transient",
		},
		"SQL without the message": {
			"inboxes: {a: {topics: [t], group: g, handler: {sql: select f()}}}", "inboxes.a.handler.sql: has no $1, which is the message",
		},
		"a path with a gap": {
			"inboxes: {a: {topics: [t], group: g, message: {id_path: a..b}}}", `inboxes.a.message.id_path: "a..b" has an empty name`,
		},
		"a topic twice": {
			"inboxes: {a: {topics: [t, t], group: g}}", `inboxes.a.topics: "t" is there twice`,
		},
		"a topic that none can be": {
			"inboxes: {a: {topics: [new orders], group: g}}", `inboxes.a.topics: invalid topic name "new orders": only letters`,
		},
		"a filter":  {"inboxes: {a: {topics: [t], group: g, filter: {}}}", "an inbox takes all messages of its topics"},
		"one topic": {"inboxes: {a: {topic: t, group: g}}", "it is a list: topics: [orders]"},
	} {
		_, err := Parse("f", both(tt.file), nil)
		require.ErrorContains(t, err, tt.says, name)
	}
	_, err := Parse("f", both("inboxes: {a: {topics: [t], group: g, claim: row}, b: {topics: [t], group: h, claim: row}}"), nil)
	require.NoError(t, err)
}
