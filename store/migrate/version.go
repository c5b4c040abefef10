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
	tables, err := resolve(ctx, db, opts)
	if err != nil {
		return nil, err
	}
	all := make([]TargetStatus, 0, len(tables)+1)
	have, err := versionOf(ctx, db, coreVersions)
	if err != nil {
		return nil, err
	}
	all = append(all, TargetStatus{Target: core, Have: have, Want: newest(coreScripts)})
	for _, t := range tables {
		have, err := versionOf(ctx, db, t.versions())
		if err != nil {
			return nil, err
		}
		all = append(all, TargetStatus{Target: t.Key(), Have: have, Want: newest(t.scripts())})
	}
	return all, nil
}

// Check says whether the schema of an outbox, and what all tables share, is
// exactly what this binary needs; if not, the error is a *VersionError. An
// adopted table has no version before its pending rows are in order. An inbox is
// a *KindError.
func Check(ctx context.Context, db *pgxpool.Pool, name string) error {
	return check(ctx, db, Options{Tables: []string{name}})
}

// CheckInbox is Check for an inbox.
func CheckInbox(ctx context.Context, db *pgxpool.Pool, name string) error {
	return check(ctx, db, Options{Inboxes: []string{name}})
}

func check(ctx context.Context, db *pgxpool.Pool, opts Options) error {
	all, err := Status(ctx, db, opts)
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
	tables, err := resolve(ctx, db, opts)
	if err != nil {
		return fmt.Errorf("check the schema: %w", err)
	}
	for _, t := range tables {
		if err := checkKind(ctx, db, t); err != nil {
			return fmt.Errorf("check the schema: %w", err)
		}
	}
	return nil
}

// KindError says that a table is an inbox where an outbox is wanted, or the
// reverse.
type KindError struct {
	Table      string
	Have, Want string
}

func (e *KindError) Error() string {
	return fmt.Sprintf("%s is an %s, not an %s: name it among the %ses, or take another table", e.Table, e.Have, e.Want, e.Have)
}

// checkKind compares what a table is with what it is wanted for. One that is not
// registered yet may become either.
func checkKind(ctx context.Context, db Querier, t table) error {
	var kind string
	err := db.QueryRow(ctx, "select kind from omnibox.boxes where table_name = $1", t.Key()).Scan(&kind)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && kind == t.kind() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the kind of %s: %w", t.Key(), err)
	}
	return &KindError{Table: t.Key(), Have: kind, Want: t.kind()}
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
