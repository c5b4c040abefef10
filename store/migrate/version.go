package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// Querier is what reads need: a pool, a connection or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// VersionError says that the database's schema is not the one that this binary
// needs.
type VersionError struct {
	Target     string // core, or schema.table
	Have, Want int64  // Have is 0 where nothing was migrated yet
}

// Newer says that the database was migrated by a newer binary.
func (e *VersionError) Newer() bool { return e.Have > e.Want }

func (e *VersionError) Error() string {
	switch {
	case e.Newer():
		return fmt.Sprintf("schema of %s has version %d, this binary knows up to %d: upgrade the binary", e.Target, e.Have, e.Want)
	case e.Have == 0:
		return fmt.Sprintf("schema of %s is not there, or not complete: run `omnibox migrate up`", e.Target)
	default:
		return fmt.Sprintf("schema of %s has version %d, this binary needs %d: run `omnibox migrate up`", e.Target, e.Have, e.Want)
	}
}

// TargetStatus is the version of one target.
type TargetStatus struct {
	Target     string
	Have, Want int64
}

// Pending is how many versions are to come.
func (s TargetStatus) Pending() int64 { return max(s.Want-s.Have, 0) }

// Status reads which version each target has. It changes nothing.
func Status(ctx context.Context, db *pgxpool.Pool, opts Options) ([]TargetStatus, error) {
	opts = opts.withDefaults()
	all := make([]TargetStatus, 0, len(opts.Tables)+1)
	have, err := versionOf(ctx, db, coreVersions)
	if err != nil {
		return nil, err
	}
	all = append(all, TargetStatus{Target: core, Have: have, Want: newest(coreScripts)})
	for _, name := range opts.Tables {
		t, err := resolveOne(ctx, db, name)
		if err != nil {
			return nil, err
		}
		have, err := versionOf(ctx, db, t.versions())
		if err != nil {
			return nil, err
		}
		all = append(all, TargetStatus{Target: t.Key(), Have: have, Want: newest(tableScripts)})
	}
	return all, nil
}

// Check says whether the schema of a table, and what all tables share, is
// exactly what this binary needs; if not, the error is a *VersionError. An
// adopted table has no version before its pending rows are in order.
func Check(ctx context.Context, db *pgxpool.Pool, name string) error {
	all, err := Status(ctx, db, Options{Tables: []string{name}})
	if hasState(err, "42501") {
		return fmt.Errorf("check the schema: %w; run what `omnibox migrate grants` prints for the user of the database's url", err)
	}
	if err != nil {
		return fmt.Errorf("check the schema: %w", err)
	}
	for _, s := range all {
		if s.Have != s.Want {
			return &VersionError{Target: s.Target, Have: s.Have, Want: s.Want}
		}
	}
	return nil
}

// versionOf reads a target's version; 0 if there is none.
func versionOf(ctx context.Context, db Querier, versions string) (int64, error) {
	var there bool
	if err := db.QueryRow(ctx, "select to_regclass($1) is not null", versions).Scan(&there); err != nil {
		return 0, fmt.Errorf("look for %s: %w", versions, err)
	}
	if !there {
		return 0, nil
	}
	var have int64
	err := db.QueryRow(ctx, "select coalesce(max(version_id), 0) from "+versions).Scan(&have)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", versions, err)
	}
	return have, nil
}

func isNoNext(err error) bool { return errors.Is(err, goose.ErrNoNextVersion) }
