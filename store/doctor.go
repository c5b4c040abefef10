package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// Health is the result of a check.
type Health string

// The results of a check.
const (
	HealthOK   Health = "ok"
	HealthWarn Health = "warn"
	HealthFail Health = "fail"
)

// Check is one thing that Doctor looked at.
type Check struct {
	Name  string
	State Health
	// Found says what is there.
	Found string
	// Mend says what to do; empty if there is nothing to do.
	Mend string
}

// minVersion is the oldest Postgres that is supported, as server_version_num.
const minVersion = 140000

// Doctor looks for what keeps a worker with this configuration from working, or
// from working well. It changes nothing, takes no lock, and reads a bounded
// part of the table. The version of the schema is not among the checks: package
// migrate has it.
//
// An error means that it could not look; what it has found by then is returned
// too.
func (s *Store) Doctor(ctx context.Context) ([]Check, error) {
	var all []Check
	for _, check := range []struct {
		name string
		look func(context.Context) (Check, error)
	}{
		{"server", s.checkServer},
		{"columns", s.checkColumns},
		{"grants", s.checkGrants},
		{"slots", s.checkSlots},
		{"settings", s.checkSettings},
		{"other relays", s.checkRelays},
		{"other groups", s.checkGroups},
		{"old transactions", s.checkXmin},
		{"vacuum", s.checkVacuum},
		{"indexes", s.checkIndexes},
	} {
		if check.name == "other groups" && !s.isInbox() {
			continue
		}
		c, err := check.look(ctx)
		if err != nil {
			return all, fmt.Errorf("check %s of %s: %w", check.name, s.table, hint(err))
		}
		c.Name = check.name
		all = append(all, c)
		// what the others read may not be there, or not be readable
		if c.State == HealthFail && slices.Contains([]string{"server", "columns", "grants"}, check.name) {
			break
		}
	}
	return all, nil
}

func (s *Store) checkServer(ctx context.Context) (Check, error) {
	var number int
	var version, user string
	var standby, schema bool
	err := s.db.QueryRow(ctx, s.sql["doctor_server"]).Scan(&number, &version, &standby, &user, &schema)
	switch {
	case err != nil:
		return Check{}, err
	case number < minVersion:
		return Check{State: HealthFail, Found: "Postgres " + version, Mend: "upgrade to Postgres 14 or newer"}, nil
	case standby:
		return Check{State: HealthFail, Found: "a standby, which cannot be written to", Mend: "point the database's url at the primary"}, nil
	case !schema:
		return Check{State: HealthFail, Found: "no schema omnibox", Mend: "omnibox migrate up"}, nil
	}
	return Check{State: HealthOK, Found: fmt.Sprintf("Postgres %s as %s", version, user)}, nil
}

// columns that the statements of this package read or write.
var columns = strings.Fields(`id topic partition_key aggregate_type aggregate_id event_type payload headers trace_id
	idempotency_key correlation_id causation_id schema_version status attempts_made max_attempts last_error scheduled_at
	completed_at locked_at locked_by created_at updated_at seq lease_token lease_until held fetches body content_type
	error_class replays`)

// inboxColumns are those of an inbox besides.
var inboxColumns = strings.Fields(`message_id consumer_group source partition offset raw_key occurred_at raw_headers`)

func (s *Store) checkColumns(ctx context.Context) (Check, error) {
	rows, _ := s.db.Query(ctx, s.sql["doctor_columns"], s.quotedArg())
	have, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return Check{}, err
	}
	needs := slices.Clone(columns)
	if s.isInbox() {
		needs = append(needs, inboxColumns...)
	}
	missing := slices.DeleteFunc(needs, func(c string) bool { return slices.Contains(have, c) })
	if len(missing) > 0 {
		return Check{State: HealthFail, Found: s.table + " lacks " + strings.Join(missing, ", "), Mend: "omnibox migrate up"}, nil
	}
	return Check{State: HealthOK, Found: s.table + " has all columns"}, nil
}

// grants are the rights that a worker needs, besides those on its own table.
var grants = map[string][]string{
	"omnibox.identity":     {"select"},
	"omnibox.boxes":        {"select", "update"},
	"omnibox.pipelines":    {"select", "insert", "update"},
	"omnibox.slots":        {"select", "update"},
	"omnibox.holds":        {"select", "insert", "update", "delete"},
	"omnibox.dead_letters": {"select", "insert", "update"},
}

// inboxGrants are those of an inbox besides.
var inboxGrants = map[string][]string{
	"omnibox.inbox_keys": {"select", "insert"},
	"omnibox.consumers":  {"select", "insert", "update", "delete"},
}

func (s *Store) checkGrants(ctx context.Context) (Check, error) {
	needs := maps.Clone(grants)
	needs[s.table] = []string{"select", "update"}
	if s.cfg.OnComplete == "delete" {
		needs[s.table] = append(needs[s.table], "delete")
	}
	if s.isInbox() {
		needs[s.table] = append(needs[s.table], "insert")
		maps.Copy(needs, inboxGrants)
	}
	var schemas, names, privileges []string
	for object, all := range needs {
		schema, name, _ := strings.Cut(object, ".")
		for _, p := range all {
			schemas, names, privileges = append(schemas, schema), append(names, name), append(privileges, p)
		}
	}
	var user, sequence string
	if err := s.db.QueryRow(ctx, "select current_user").Scan(&user); err != nil {
		return Check{}, err
	}
	var schema, tableSchema, sequenceUsage bool
	err := s.db.QueryRow(ctx, s.sql["doctor_grants_other"], s.quotedArg()).Scan(&schema, &tableSchema, &sequenceUsage, &sequence)
	if err != nil {
		return Check{}, err
	}
	role := pgx.Identifier{user}.Sanitize()
	var mend []string
	if !schema {
		mend = append(mend, "grant usage on schema omnibox to "+role)
	}
	if !tableSchema {
		name, _, _ := strings.Cut(s.table, ".")
		mend = append(mend, "grant usage on schema "+pgx.Identifier{name}.Sanitize()+" to "+role)
	}
	if !sequenceUsage {
		mend = append(mend, "grant usage on sequence "+sequence+" to "+role)
	}
	rows, _ := s.db.Query(ctx, s.sql["doctor_grants"], named{"schemas": schemas, "names": names, "privileges": privileges})
	missing := map[string][]string{}
	var inSchema, table, privilege string
	if _, err := pgx.ForEachRow(rows, []any{&inSchema, &table, &privilege}, func() error {
		object := pgx.Identifier{inSchema, table}.Sanitize()
		missing[object] = append(missing[object], privilege)
		return nil
	}); err != nil {
		return Check{}, err
	}
	for object, lacks := range missing {
		slices.Sort(lacks)
		mend = append(mend, fmt.Sprintf("grant %s on %s to %s", strings.Join(lacks, ", "), object, role))
	}
	if len(mend) > 0 {
		slices.Sort(mend)
		return Check{State: HealthFail, Found: user + " lacks rights", Mend: strings.Join(mend, "; ")}, nil
	}
	return Check{State: HealthOK, Found: user + " has what a worker needs"}, nil
}

func (s *Store) checkSlots(ctx context.Context) (Check, error) {
	var n int
	if err := s.db.QueryRow(ctx, s.sql["doctor_slots"], named{"table": s.table}).Scan(&n); err != nil {
		return Check{}, err
	}
	if n != omnibox.Slots {
		return Check{State: HealthFail, Found: fmt.Sprintf("%d of %d slots have a lease row", n, omnibox.Slots), Mend: "omnibox migrate up"}, nil
	}
	return Check{State: HealthOK, Found: fmt.Sprintf("%d lease rows", n)}, nil
}

func (s *Store) checkSettings(ctx context.Context) (Check, error) {
	have, mismatch, err := s.readSettings(ctx)
	if err != nil {
		return Check{}, err
	}
	if mismatch != nil {
		return Check{State: HealthFail, Found: mismatch.Error(), Mend: "omnibox config apply, once the other workers have ended"}, nil
	}
	if have == nil {
		return Check{State: HealthOK, Found: "none stored yet: the first worker stores its own"}, nil
	}
	return Check{State: HealthOK, Found: fmt.Sprintf("claim %s, ordering %s, behind_failure %s, lease %s",
		have.Claim, have.Ordering, have.BehindFailure, have.Lease)}, nil
}

func (s *Store) quotedArg() named {
	return named{"quoted": QuoteTable(s.table)}
}
