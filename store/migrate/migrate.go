package migrate

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// Options say what is migrated. The zero value is fit for one outbox.
type Options struct {
	// Tables of events to send, each optionally with its schema; without one it is
	// the first of the search path. Defaults to outbox_events alone, unless there
	// are Inboxes.
	Tables []string
	// Inboxes are tables of messages that were received, named like Tables.
	Inboxes []string
	// Partitioned creates inboxes in partitions by the time of landing: one for
	// each month and one for all other times. It is no reason to change an inbox
	// that is there.
	Partitioned bool
	// NotifyOff creates tables the inserts of which do not wake workers up:
	// for producers that commit many hundred times a second, or behind a pooler.
	NotifyOff bool
	// Adopt makes Print write what adopts tables of omni-box. Up sees by itself
	// what there is.
	Adopt bool
	// Log hears of progress and of locks that are waited for. Defaults to
	// silence.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if len(o.Tables)+len(o.Inboxes) == 0 {
		o.Tables = []string{DefaultTable}
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return o
}

// Report says what Up did.
type Report struct {
	Applied []Applied
}

// Applied is one version that a target was brought to.
type Applied struct {
	Target  string // core, or schema.table
	Version int64
	Name    string
	// Adopted says that the table was there, made by omni-box.
	Adopted bool
}

// Up brings the database of db to the newest version: first what all tables
// share, then each table, which is created or adopted. It may be called again
// at any time, by several processes at once, and goes on where an interrupted
// run ended. It blocks while others hold locks on the table; ctx ends that.
//
// The user of db must own the tables, and be able to create in their schema and
// in the schema omnibox.
func Up(ctx context.Context, db *pgxpool.Pool, opts Options) (Report, error) {
	opts = opts.withDefaults()
	s, err := open(ctx, db, opts.Log)
	if err != nil {
		return Report{}, err
	}
	defer s.close(ctx)
	tables, err := resolve(ctx, s, opts)
	if err != nil {
		return Report{}, err
	}
	if err := createSchema(ctx, s); err != nil {
		return Report{}, err
	}

	var report Report
	err = s.up(ctx, &report, core, coreVersions, coreScripts, func(sc script) *goose.Migration {
		return sqlMigration(sc, table{})
	})
	for _, t := range tables {
		if err != nil {
			break
		}
		err = s.upTable(ctx, &report, t)
	}
	return report, err
}

// upTable creates or adopts a table and brings it up to date.
func (s *session) upTable(ctx context.Context, report *Report, t table) error {
	found, err := inspect(ctx, s, t)
	if err != nil {
		return err
	}
	if err := checkKind(ctx, s, t); err != nil {
		return fmt.Errorf("migrate %s: %w", t.Key(), err)
	}
	applied := len(report.Applied)
	err = s.up(ctx, report, t.Key(), t.versions(), t.scripts(), func(sc script) *goose.Migration {
		if sc.version == 1 && found.exists {
			return goose.NewGoMigration(1, &goose.GoFunc{RunDB: func(ctx context.Context, _ *sql.DB) error {
				return s.adopt(ctx, t, found)
			}}, nil)
		}
		return sqlMigration(sc, t)
	})
	for i := range report.Applied[applied:] {
		a := &report.Applied[applied+i]
		a.Adopted = found.exists && a.Version == 1
	}
	return err
}

// up runs the versions that a target lacks.
func (s *session) up(ctx context.Context, report *Report, target, versions string, scripts []script,
	build func(script) *goose.Migration,
) error {
	sqldb := stdlib.OpenDBFromPool(s.Pool)
	defer sqldb.Close() //nolint:errcheck // closes nothing but a view of the pool
	have, err := versionOf(ctx, s, versions)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", target, err)
	}
	if want := newest(scripts); have > want {
		return &VersionError{Target: target, Have: have, Want: want}
	}
	migrations := make([]*goose.Migration, len(scripts))
	for i, sc := range scripts {
		migrations[i] = build(sc)
	}
	return s.patiently(ctx, target, func() error {
		p, err := goose.NewProvider(goose.DialectPostgres, sqldb, nil, goose.WithTableName(versions),
			goose.WithGoMigrations(migrations...), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
		if err != nil {
			return fmt.Errorf("migrate %s: %w", target, err)
		}
		for {
			done, err := p.UpByOne(ctx)
			if isNoNext(err) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("migrate %s: %w", target, hint(err, target))
			}
			sc := scripts[slices.IndexFunc(scripts, func(sc script) bool { return sc.version == done.Source.Version })]
			report.Applied = append(report.Applied, Applied{Target: target, Version: sc.version, Name: sc.name})
			s.log.InfoContext(ctx, "migrated", slog.String("target", target), slog.Int64("version", sc.version),
				slog.String("name", sc.name), slog.Duration("took", done.Duration))
		}
	})
}

// sqlMigration runs a version's scripts in one transaction.
func sqlMigration(sc script, t table) *goose.Migration {
	return goose.NewGoMigration(sc.version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		text, err := renderAll(sc, t)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, text)
		return err
	}}, nil)
}

// resolve finds the schema of tables that are named without.
func resolve(ctx context.Context, db Querier, opts Options) ([]table, error) {
	return opts.each(func(name, kind string) (table, error) { return resolveOne(ctx, db, name, kind) })
}

// each makes the tables that the options name, each once.
func (o Options) each(find func(name, kind string) (table, error)) ([]table, error) {
	tables := make([]table, 0, len(o.Tables)+len(o.Inboxes))
	add := func(names []string, kind string) error {
		for _, name := range names {
			t, err := find(name, kind)
			if err != nil {
				return err
			}
			t.Notify = !o.NotifyOff
			t.Partitioned = o.Partitioned && t.IsInbox
			t.NeedsDedup = t.NeedsDedup && !t.Partitioned // omnibox.inbox_keys does it
			if !slices.Contains(tables, t) {
				tables = append(tables, t)
			}
		}
		return nil
	}
	if err := add(o.Tables, kindOutbox); err != nil {
		return nil, err
	}
	return tables, add(o.Inboxes, kindInbox)
}

// resolveOne takes the schema in which the table is, else the one in which it
// would be created.
func resolveOne(ctx context.Context, db Querier, name, kind string) (table, error) {
	var schema *string
	err := db.QueryRow(ctx, `select coalesce(
		(select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1)),
		current_schema())`, pgx.Identifier{name}.Sanitize()).Scan(&schema)
	if err != nil {
		return table{}, fmt.Errorf("find the schema of %s: %w", name, err)
	}
	if schema == nil {
		schema = new("public")
	}
	return parseTable(name, *schema, kind)
}

// createSchema makes the schema omnibox unless it is there: a user who may use
// it need not be able to create it.
func createSchema(ctx context.Context, s *session) error {
	var there bool
	if err := s.QueryRow(ctx, "select to_regnamespace('omnibox') is not null").Scan(&there); err != nil {
		return fmt.Errorf("look for the schema omnibox: %w", err)
	}
	if there {
		return nil
	}
	_, err := s.Exec(ctx, "create schema if not exists omnibox")
	if hasState(err, "42501") {
		return schemaHint(ctx, s, err)
	}
	if err != nil {
		return fmt.Errorf("create the schema omnibox: %w", err)
	}
	return nil
}
