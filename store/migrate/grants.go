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
	// Worker relays events; it serves the CLI as well, but for `migrate up`.
	Worker Role = "worker"
)

// Grants is the SQL that gives a database user the least privileges for a role.
// Tables without a schema are taken to be in public.
func Grants(user string, role Role, tables []string) (string, error) {
	if len(tables) == 0 {
		tables = []string{DefaultTable}
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
	default:
		return "", fmt.Errorf("grants: no role %q; there are %s and %s", role, Producer, Worker)
	}
	for _, name := range tables {
		t, err := parseTable(name, "public")
		if err != nil {
			return "", err
		}
		grant("usage", "schema "+pgx.Identifier{t.Schema}.Sanitize())
		grant("usage", "sequence "+t.Sequence())
		if role == Producer {
			grant("insert, select (id, seq, created_at, idempotency_key)", t.Table())
			continue
		}
		grant("select, update, delete", t.Table())
		grant("select", t.versions())
	}
	return b.String(), nil
}
