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
}

// omniBoxColumns are those without which a table is not omni-box's outbox.
var omniBoxColumns = []string{
	"id", "topic", "partition_key", "aggregate_type", "aggregate_id", "event_type", "payload", "headers", "trace_id",
	"idempotency_key", "correlation_id", "causation_id", "schema_version", "status", "attempts_made", "max_attempts",
	"last_error", "scheduled_at", "completed_at", "locked_at", "locked_by", "created_at", "updated_at",
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
		)
		from (select to_regclass($1)::oid as oid) r`, t.Table()).Scan(&f.kind, &f.columns, &f.idempotency)
	if err != nil {
		return f, fmt.Errorf("look at %s: %w", t.Key(), err)
	}
	f.exists = f.kind != ""
	return f, nil
}

// fit says why a table cannot be adopted.
func (f shape) fit(t table) error {
	if f.kind == "p" {
		return fmt.Errorf("adopt %s: partitioned tables are not supported yet", t.Key())
	}
	if f.kind != "r" {
		return fmt.Errorf("adopt %s: it is not a table", t.Key())
	}
	var missing []string
	for _, c := range omniBoxColumns {
		if !slices.Contains(f.columns, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("adopt %s: it is not an outbox of omni-box: no column %s", t.Key(), strings.Join(missing, ", "))
	}
	return nil
}
