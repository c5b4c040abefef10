package migrate

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Role is what a database user does.
type Role string

// The roles.
const (
	// Producer writes events, through Enqueue or the function omnibox.enqueue.
	Producer Role = "producer"
	// Worker relays events, lands messages and handles them; it serves the CLI as
	// well, but for `migrate up`. What a handler writes to is not among its rights.
	Worker Role = "worker"
)

// Grants is the SQL that gives a database user the least privileges for a role
// with outboxes and, as a worker, inboxes. Without any it is for the default
// outbox. Tables without a schema are taken to be in public.
func Grants(user string, role Role, outboxes []string, inboxes ...string) (string, error) {
	opts := Options{Tables: outboxes, Inboxes: inboxes}.withDefaults()
	tables, err := opts.each(func(name, kind string) (table, error) { return parseTable(name, "public", kind) })
	if err != nil {
		return "", err
	}
	to := pgx.Identifier{user}.Sanitize()
	var b strings.Builder
	grant := func(privileges, on string) { fmt.Fprintf(&b, "grant %s on %s to %s;\n", privileges, on, to) }

	grant("usage", "schema omnibox")
	switch role {
	case Producer:
		grant("execute", "all functions in schema omnibox")
	case Worker:
		grant("select", "omnibox.identity, "+coreVersions)
		grant("select, update", "omnibox.boxes, omnibox.slots")
		grant("select, insert, update, delete", "omnibox.pipelines, omnibox.holds, omnibox.dead_letters")
		if len(opts.Inboxes) > 0 {
			grant("select, insert, update, delete", "omnibox.consumers")
			grant("select, insert, delete", "omnibox.inbox_keys")
		}
	default:
		return "", fmt.Errorf("grants: no role %q; there are %s and %s", role, Producer, Worker)
	}
	for _, t := range tables {
		if role == Producer && t.IsInbox {
			return "", fmt.Errorf("grants: %s is an inbox: no producer writes to it", t.Key())
		}
		grant("usage", "schema "+pgx.Identifier{t.Schema}.Sanitize())
		grant("usage", "sequence "+t.Sequence())
		if role == Producer {
			grant("insert, select (id, seq, created_at, idempotency_key)", t.Table())
			continue
		}
		privileges := "select, update, delete"
		if t.IsInbox {
			privileges = "select, insert, update, delete"
		}
		grant(privileges, t.Table())
		grant("select", t.versions())
	}
	return b.String(), nil
}
