package migrate

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// numberChunk is how many rows are numbered at once: some tens of
	// milliseconds, in which a relay cannot lock them.
	numberChunk = 2000
	// numberPause lets a relay finish with the rows that it holds.
	numberPause = 200 * time.Millisecond
	// firstAdopted is the first number of a row that is written after the
	// adoption; those that were there get numbers below.
	firstAdopted = 1_000_000_000_000
)

// FirstSeq is where the sequence of an adopted table begins.
func (t table) FirstSeq() int64 { return firstAdopted }

// ourIndexes are those that the scripts create.
func (t table) ourIndexes() []string {
	names := []string{t.dedupName()}
	for _, of := range []string{"due", "scheduled", "held", "leased", "idempotency"} {
		names = append(names, t.indexName(of))
	}
	return names
}

// columnFiles bring a table of omni-box its columns, at once.
func (t table) columnFiles() []string {
	if t.IsInbox {
		return []string{"adopt/1_columns.sql", "inbox/00001_order.sql"}
	}
	return []string{"adopt/1_columns.sql"}
}

// adopt makes omni-box's table ours, while its producers and relay go on. Each
// part may be repeated, so an interrupted adoption begins again and finds the
// most of it done. The version is recorded when it returns.
func (s *session) adopt(ctx context.Context, t table, found shape) error {
	if err := found.fit(t); err != nil {
		return err
	}
	t.Concurrently = "concurrently if not exists"
	t.NeedsIdempotency, t.NeedsDedup = t.NeedsIdempotency && !found.idempotency, t.NeedsDedup && !found.dedup
	s.log.InfoContext(ctx, "adopting a table that is there", slog.String("table", t.Key()))
	if err := s.runPatiently(ctx, t, t.columnFiles()...); err != nil {
		return err
	}
	if err := s.number(ctx, t); err != nil {
		return err
	}
	if err := s.indexes(ctx, t); err != nil {
		return err
	}
	return s.runPatiently(ctx, t, "outbox/00001_register.sql")
}

// runPatiently runs scripts in a transaction, until it gets its locks.
func (s *session) runPatiently(ctx context.Context, t table, files ...string) error {
	text, err := renderAll(script{files: files}, t)
	if err != nil {
		return err
	}
	return s.patiently(ctx, t.Key(), func() error {
		if _, err := s.Exec(ctx, text); err != nil { // several statements are one transaction
			return fmt.Errorf("run %s: %w", files[0], err)
		}
		return nil
	})
}

// number gives the pending rows their place. Rows that are held by a relay's
// open transaction are left for the next pass: by then they are completed, or
// free.
func (s *session) number(ctx context.Context, t table) error {
	if err := s.runPatiently(ctx, t, "adopt/2_plan.sql"); err != nil {
		return err
	}
	s.log.InfoContext(ctx, "numbering", slog.String("table", t.Key()))
	prune, err := render("adopt/4_prune.sql", t)
	if err != nil {
		return err
	}
	late, err := render("adopt/5_late.sql", t)
	if err != nil {
		return err
	}
	for {
		if err := s.numberPass(ctx, t); err != nil {
			return err
		}
		if _, err := s.Exec(ctx, prune); err != nil {
			return fmt.Errorf("number pending rows: %w", err)
		}
		var left int64
		if err := s.QueryRow(ctx, "select count(*) from "+t.Plan()).Scan(&left); err != nil {
			return fmt.Errorf("number pending rows: %w", err)
		}
		if left == 0 {
			added, err := s.Exec(ctx, late)
			if err != nil {
				return fmt.Errorf("number pending rows: %w", err)
			}
			if added.RowsAffected() == 0 {
				break
			}
			continue
		}
		s.log.InfoContext(ctx, "waiting for rows that a relay holds", slog.String("table", t.Key()), slog.Int64("rows", left))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(numberPause):
		}
	}
	if _, err := s.Exec(ctx, "drop table "+t.Plan()); err != nil {
		return fmt.Errorf("drop the plan of numbers: %w", err)
	}
	return nil
}

// numberPass goes through the plan once, a transaction a chunk.
func (s *session) numberPass(ctx context.Context, t table) error {
	chunk, err := render("adopt/3_number.sql", t)
	if err != nil {
		return err
	}
	var after, total int64
	reported := time.Now()
	for {
		var n int64
		args := pgx.StrictNamedArgs{"after": after, "chunk": numberChunk}
		if err := s.QueryRow(ctx, chunk, args).Scan(&after, &n); err != nil {
			return fmt.Errorf("number pending rows: %w", err)
		}
		total += n
		s.log.DebugContext(ctx, "numbered a chunk", slog.String("table", t.Key()), slog.Int64("rows", n))
		if after == 0 || time.Since(reported) > 5*time.Second {
			s.log.InfoContext(ctx, "numbered pending rows", slog.String("table", t.Key()), slog.Int64("rows", total))
			reported = time.Now()
		}
		if after == 0 {
			return nil
		}
	}
}

// indexes are built beside the writers. A build waits for every transaction
// that is open, and must not be cut short by lock_timeout: it holds nobody up.
func (s *session) indexes(ctx context.Context, t table) error {
	text, err := render("outbox/00001_indexes.sql", t)
	if err != nil {
		return err
	}
	conn, err := s.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Hijack().Close(context.WithoutCancel(ctx)) }() // its settings are its own
	if _, err := conn.Exec(ctx, "set lock_timeout = 0"); err != nil {
		return fmt.Errorf("build indexes: %w", err)
	}
	if err := dropInvalid(ctx, conn.Conn(), t); err != nil {
		return err
	}
	for statement := range strings.SplitSeq(text, ";\n") {
		if !strings.Contains(statement, "create ") {
			continue
		}
		stop := s.reportBuild(ctx, t)
		_, err := conn.Exec(ctx, statement)
		stop()
		if err != nil {
			return fmt.Errorf("build indexes: %w", err)
		}
	}
	return nil
}

// dropInvalid removes what interrupted builds have left.
func dropInvalid(ctx context.Context, conn *pgx.Conn, t table) error {
	rows, err := conn.Query(ctx, `select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid
		where i.indrelid = $1::text::regclass and not i.indisvalid and c.relname = any ($2)`, t.Table(), t.ourIndexes())
	if err != nil {
		return fmt.Errorf("look for unfinished indexes: %w", err)
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for unfinished indexes: %w", err)
	}
	for _, name := range left {
		if _, err := conn.Exec(ctx, "drop index concurrently "+pgx.Identifier{t.Schema, name}.Sanitize()); err != nil {
			return fmt.Errorf("drop the unfinished index %s: %w", name, err)
		}
	}
	return nil
}

// reportBuild says now, and every ten seconds until stop is called, that an
// index is being built.
func (s *session) reportBuild(ctx context.Context, t table) (stop func()) {
	report := func() {
		s.log.InfoContext(ctx, "building an index, beside the writers", slog.String("table", t.Key()))
	}
	report()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				report()
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
