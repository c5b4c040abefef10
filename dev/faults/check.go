package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Findings is what a check found. What must not be has an entry in Broken.
type Findings struct {
	Committed, Records, Duplicates int
	// Broken promises, the first ones of each kind in detail.
	Broken []string
}

// detailed is how many violations of one kind are told in detail.
const detailed = 3

// kind collects violations of one promise.
type kind struct {
	promise string
	count   int
	details []string
}

func (k *kind) add(format string, args ...any) {
	k.count++
	if k.count <= detailed {
		k.details = append(k.details, fmt.Sprintf(format, args...))
	}
}

func (f *Findings) tell(kinds ...*kind) {
	for _, k := range kinds {
		if k.count > 0 {
			f.Broken = append(f.Broken, fmt.Sprintf("%s: %d\n\t%s", k.promise, k.count, strings.Join(k.details, "\n\t")))
		}
	}
}

// Compare holds the topic against the ledger: everything that was committed is
// there, the first deliveries of a key are in order, and nothing else is there.
func Compare(l *Ledger, deliveries []Delivery) Findings {
	f := Findings{Committed: l.Len(), Records: len(deliveries)}
	lost := &kind{promise: "committed and not delivered"}
	disorder := &kind{promise: "first delivered out of order"}
	phantoms := &kind{promise: "delivered and never committed"}
	changed := &kind{promise: "delivered with another key or content"}
	moved := &kind{promise: "delivered to more than one partition of its key"}

	entries := map[uuid.UUID]Entry{}
	for _, key := range l.Keys() {
		for _, e := range l.Of(key) {
			entries[e.ID] = e
		}
	}
	rolledBack := map[uuid.UUID]bool{}
	for _, id := range l.RolledBack() {
		rolledBack[id] = true
	}
	first := map[uuid.UUID]bool{}
	most := map[string]int{}
	partitions := map[string]int32{}
	for i, d := range deliveries {
		e, known := entries[d.ID]
		if !known {
			phantoms.add("%s of %s at %d/%d; rolled back: %t", d.ID, d.Key, d.Partition, d.Offset, rolledBack[d.ID])
			continue
		}
		if e.Key != d.Key || e.N != d.N {
			changed.add("%s is %s/%d and came as %s/%d", d.ID, e.Key, e.N, d.Key, d.N)
		}
		if p, ok := partitions[e.Key]; ok && p != d.Partition {
			moved.add("%s in %d and %d", e.Key, p, d.Partition)
		}
		partitions[e.Key] = d.Partition
		if first[d.ID] {
			f.Duplicates++
			continue
		}
		first[d.ID] = true
		if e.N < most[e.Key] {
			disorder.add("%s: event %d came after %d; around it: %s", e.Key, e.N, most[e.Key], history(deliveries, i))
		}
		most[e.Key] = max(most[e.Key], e.N)
	}
	for _, key := range l.Keys() {
		for _, e := range l.Of(key) {
			if !first[e.ID] {
				lost.add("%s: event %d (%s, seq %d, committed at %s)", key, e.N, e.ID, e.Seq, e.At.Format("15:04:05.000"))
			}
		}
	}
	f.tell(lost, disorder, phantoms, changed, moved)
	return f
}

// requireOnce makes sure that nothing came twice: a record of an outbox may, an effect
// of an inbox must not.
func (f *Findings) requireOnce() {
	if f.Duplicates > 0 {
		f.Broken = append(f.Broken, fmt.Sprintf("applied more than once: %d", f.Duplicates))
	}
}

// history shows the deliveries of a key around one of them.
func history(deliveries []Delivery, at int) string {
	const around = 6
	var lines []string
	key := deliveries[at].Key
	for i, seen := at, 0; i >= 0 && seen < around; i-- {
		if deliveries[i].Key == key {
			lines = append([]string{line(deliveries[i])}, lines...)
			seen++
		}
	}
	for i, seen := at+1, 0; i < len(deliveries) && seen < around; i++ {
		if deliveries[i].Key == key {
			lines = append(lines, line(deliveries[i]))
			seen++
		}
	}
	return strings.Join(lines, ", ")
}

func line(d Delivery) string {
	return fmt.Sprintf("%d at %d/%d %s", d.N, d.Partition, d.Offset, d.At.Format("15:04:05.000"))
}

// guard writes down every write to a row that is settled already.
const guard = `
create table settled_writes (at timestamptz not null default clock_timestamp(), what text not null, application text, before jsonb not null, after jsonb);
create function note_settled_write() returns trigger language plpgsql as $$
begin
	insert into settled_writes (what, application, before, after)
	values (tg_op, current_setting('application_name'), to_jsonb(old), case when tg_op = 'UPDATE' then to_jsonb(new) end);
	return coalesce(new, old);
end $$;
create trigger note_settled_write before update or delete on {{table}}
	for each row when (old.status in ('completed', 'failed')) execute function note_settled_write();`

// Promise about the table, with a statement that returns a text for each violation.
type Promise struct{ What, SQL string }

// promises are what outages must not break.
var promises = []Promise{
	{"rows that are not completed, untried and free of holds", `
		select format('%s %s: %s, attempts %s, fetches %s, held %s, last error %s', id, partition_key, status, attempts_made, fetches, held, last_error)
		from {{table}} where status <> 'completed' or attempts_made <> 0 or held`},
	{"writes to settled rows", `select format('%s %s by %s: %s -> %s', at, what, application, before, after) from settled_writes`},
	{"dead letters", `select format('%s %s: %s', event_id, error_class, error) from omnibox.dead_letters`},
	{"holds left", `select format('%s %s since %s', partition_key, reason, since) from omnibox.holds`},
	{"events of a key numbered against the order of their transactions", `
		select format('%s event %s has seq %s', partition_key, n, seq) from (
			select partition_key, n, seq, lag(seq) over (partition by partition_key order by n) as before
			from (select partition_key, (payload->>'n')::int as n, seq from {{table}}) numbered
		) ordered where before > seq`},
}

// CheckTable looks for what outages must not leave behind.
func CheckTable(ctx context.Context, db *pgx.Conn, table string, l *Ledger, more ...Promise) (Findings, error) {
	var f Findings
	for _, check := range slices.Concat(promises, more) {
		rows, err := db.Query(ctx, strings.ReplaceAll(check.SQL, "{{table}}", table))
		if err != nil {
			return f, err
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return f, fmt.Errorf("look for %s: %w", check.What, err)
		}
		k := &kind{promise: check.What}
		for _, line := range lines {
			k.add("%s", line)
		}
		f.tell(k)
	}
	var rows int
	if err := db.QueryRow(ctx, "select count(*) from "+table).Scan(&rows); err != nil {
		return f, err
	}
	if rows != l.Len() {
		f.Broken = append(f.Broken, fmt.Sprintf("rows of the table: %d, and %d were committed", rows, l.Len()))
	}
	return f, nil
}
