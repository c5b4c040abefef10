package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

func (s *Store) checkRelays(ctx context.Context) (Check, error) {
	names, err := s.ForeignOwners(ctx)
	if err != nil {
		return Check{}, err
	}
	if len(names) == 0 {
		return Check{State: HealthOK, Found: "none in sight"}, nil
	}
	found := "rows are locked by " + strings.Join(names, ", ")
	if s.cfg.Claim == ClaimRow {
		return Check{State: HealthOK, Found: found + "; claim: row works beside them"}, nil
	}
	return Check{
		State: HealthFail, Found: found,
		Mend: "set claim: row while another relay works on the table, or stop it and wait for its locks to end",
	}, nil
}

func (s *Store) checkGroups(ctx context.Context) (Check, error) {
	groups, err := s.ForeignGroups(ctx)
	if err != nil {
		return Check{}, err
	}
	if len(groups) == 0 {
		return Check{State: HealthOK, Found: "none in sight"}, nil
	}
	found := "pending messages of " + strings.Join(groups, ", ")
	if s.cfg.Claim == ClaimRow {
		return Check{State: HealthOK, Found: found + "; claim: row shares the table with them"}, nil
	}
	return Check{State: HealthFail, Found: found, Mend: "give each group a table of its own, or set claim: row"}, nil
}

func (s *Store) checkXmin(ctx context.Context) (Check, error) {
	rows, _ := s.db.Query(ctx, s.sql["doctor_xmin"])
	var found, mend []string
	var holder, how string
	if _, err := pgx.ForEachRow(rows, []any{&holder, &how}, func() error {
		found, mend = append(found, holder), append(mend, how)
		return nil
	}); err != nil {
		return Check{}, err
	}
	if len(found) == 0 {
		return Check{State: HealthOK, Found: "none: vacuum can remove dead rows"}, nil
	}
	return Check{
		State: HealthWarn, Found: "vacuum cannot remove dead rows because of " + strings.Join(found, "; "),
		Mend: "end them, for example: " + strings.Join(mend, "; "),
	}, nil
}

// Above these a table's vacuum is worth a word.
const (
	manyDeadRows = 1_000_000
	bigTable     = 5_000_000
)

func (s *Store) checkVacuum(ctx context.Context) (Check, error) {
	var rows, dead int64
	var off, tuned, global bool
	err := s.db.QueryRow(ctx, s.sql["doctor_vacuum"], s.quotedArg()).Scan(&rows, &dead, &off, &tuned, &global)
	quoted := QuoteTable(s.table)
	found := fmt.Sprintf("about %d rows, %d dead", rows, dead)
	switch {
	case err != nil:
		return Check{}, err
	case off || !global:
		return Check{State: HealthWarn, Found: "autovacuum is off; " + found, Mend: "alter table " + quoted + " reset (autovacuum_enabled)"}, nil
	case dead > manyDeadRows && dead > rows:
		return Check{State: HealthWarn, Found: found, Mend: "vacuum " + quoted}, nil
	case rows > bigTable && !tuned:
		return Check{
			State: HealthWarn, Found: found + "; autovacuum waits for a fifth of them to be dead",
			Mend: "alter table " + quoted + " set (autovacuum_vacuum_scale_factor = 0.01)",
		}, nil
	}
	return Check{State: HealthOK, Found: found}, nil
}

func (s *Store) checkIndexes(ctx context.Context) (Check, error) {
	rows, _ := s.db.Query(ctx, s.sql["doctor_indexes"], s.quotedArg())
	var found, mend []string
	var name, size string
	if _, err := pgx.ForEachRow(rows, []any{&name, &size}, func() error {
		found = append(found, fmt.Sprintf("%s (%s)", name, size))
		mend = append(mend, "drop index concurrently "+name)
		return nil
	}); err != nil {
		return Check{}, err
	}
	if len(found) == 0 {
		return Check{State: HealthOK, Found: "none that nobody uses"}, nil
	}
	return Check{
		State: HealthWarn, Found: "nobody has used " + strings.Join(found, ", ") + "; each slows every write down",
		Mend: "if no report or other program needs them: " + strings.Join(mend, "; "),
	}, nil
}

// Topics returns some of the topics that pending events are for, so that a
// broker can be asked whether it has them. It takes no lock and reads a bounded
// part of the table.
func (s *Store) Topics(ctx context.Context) ([]string, error) {
	rows, _ := s.db.Query(ctx, s.sql["doctor_topics"])
	topics, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read topics of %s: %w", s.table, hint(err))
	}
	return topics, nil
}
