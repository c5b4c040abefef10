package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// shape is what is known of a table before it is migrated.
type shape struct {
	exists      bool
	kind        string // of pg_class
	columns     []string
	idempotency bool // a unique index on idempotency_key
	dedup       bool // one on message_id and consumer_group
}

// omniBoxColumns are those without which a table is not omni-box's.
func (t table) omniBoxColumns() []string {
	own := []string{"topic", "partition_key", "aggregate_type", "aggregate_id"}
	if t.IsInbox {
		own = []string{"message_id", "consumer_group", "source"}
	}
	return append(own, "id", "event_type", "payload", "headers", "trace_id",
		"idempotency_key", "correlation_id", "causation_id", "schema_version", "status", "attempts_made", "max_attempts",
		"last_error", "scheduled_at", "completed_at", "locked_at", "locked_by", "created_at", "updated_at")
}

// inspect looks at a table.
func inspect(ctx context.Context, s *session, t table) (shape, error) {
	var f shape
	err := s.QueryRow(ctx, `select coalesce((select c.relkind::text from pg_class c where c.oid = r.oid), ''),
		array(select attname::text from pg_attribute where attrelid = r.oid and attnum > 0 and not attisdropped),
		exists (
			select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
			where i.indrelid = r.oid and i.indisunique and i.indisvalid and i.indnkeyatts = 1 and a.attname = 'idempotency_key'
				and coalesce(pg_get_expr(i.indpred, i.indrelid), '(idempotency_key IS NOT NULL)') = '(idempotency_key IS NOT NULL)'
		),
		exists (
			select from pg_index i
			where i.indrelid = r.oid and i.indisunique and i.indisvalid and i.indpred is null and i.indnkeyatts = 2 and i.indnatts = 2
				and (select array_agg(a.attname::text order by a.attname) from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any (i.indkey))
					= array['consumer_group', 'message_id']
		)
		from (select to_regclass($1)::oid as oid) r`, t.Table()).Scan(&f.kind, &f.columns, &f.idempotency, &f.dedup)
	if err != nil {
		return f, fmt.Errorf("look at %s: %w", t.Key(), err)
	}
	f.exists = f.kind != ""
	return f, nil
}

// fit says why a table cannot be adopted.
func (f shape) fit(t table) error {
	switch {
	case f.kind == "p" && t.IsInbox:
		return fmt.Errorf("adopt %s: a partitioned inbox cannot be adopted, since its rows are not unique by message; "+
			"name a table that is not there yet, and let omni-box finish what is in this one", t.Key())
	case f.kind == "p":
		return fmt.Errorf("adopt %s: partitioned tables are not supported yet", t.Key())
	case f.kind != "r":
		return fmt.Errorf("adopt %s: it is not a table", t.Key())
	case t.Partitioned:
		return fmt.Errorf("adopt %s: it is there and not partitioned; adopt it as it is, or name a table that is not there yet", t.Key())
	}
	var missing []string
	for _, c := range t.omniBoxColumns() {
		if !slices.Contains(f.columns, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("adopt %s: it is not an %s of omni-box: no column %s", t.Key(), t.kind(), strings.Join(missing, ", "))
	}
	return nil
}
