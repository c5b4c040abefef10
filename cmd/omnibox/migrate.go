package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/worker/config"
)

func newMigrate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring databases to the schema that omnibox needs",
		Long: `Migrations bring the schema omnibox and every configured table to the newest
version. A table that omni-box has made is adopted in place, while its producers
and its relay go on: nothing is rewritten and no lock is held for long.

The user of the database's url must own the tables.`,
		RunE: group,
	}
	cmd.AddCommand(newMigrateUp(a), newMigrateStatus(a), newMigratePrint(a), newMigrateGrants(a))
	return cmd
}

// migrations calls fn for every database with the tables in it.
func (a *app) migrations(ctx context.Context, fn func(name string, db *pgxpool.Pool, opts migrate.Options) error) error {
	cfg, err := a.databases()
	if err != nil {
		return err
	}
	for _, name := range used(cfg) {
		db, err := connect(ctx, cfg, name)
		if err != nil {
			return err
		}
		err = fn(name, db, tablesIn(cfg, name))
		db.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// tablesIn lists the tables that pipelines use in a database.
func tablesIn(cfg *config.Config, database string) (opts migrate.Options) {
	for _, b := range cfg.Boxes() {
		tables := &opts.Tables
		if b.Inbox != nil {
			tables = &opts.Inboxes
		}
		if b.Database == database && !slices.Contains(*tables, b.Table) {
			*tables = append(*tables, b.Table)
		}
	}
	return opts
}

// applied is a version that a target was brought to.
type applied struct {
	Database string `json:"database"`
	Target   string `json:"target"`
	Version  int64  `json:"version"`
	Name     string `json:"name"`
	Adopted  bool   `json:"adopted"`
}

func newMigrateUp(a *app) *cobra.Command {
	var noNotify, partitioned bool
	cmd := &cobra.Command{
		Use: "up", Short: "Migrate to the newest version", Args: cobra.NoArgs,
		Example: `  omnibox migrate up
  omnibox migrate up --partitioned # inboxes in partitions by the time of landing
  omnibox migrate up --no-notify   # behind a pooler, or with very many small transactions`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelInfo}))
			all := []applied{}
			err := a.migrations(cmd.Context(), func(name string, db *pgxpool.Pool, opts migrate.Options) error {
				opts.NotifyOff, opts.Partitioned, opts.Log = noNotify, partitioned, log
				report, err := migrate.Up(cmd.Context(), db, opts)
				for _, one := range report.Applied {
					all = append(all, applied{Database: name, Target: one.Target, Version: one.Version, Name: one.Name, Adopted: one.Adopted})
				}
				return err
			})
			return errors.Join(a.printApplied(all, err == nil), err)
		},
	}
	cmd.Flags().BoolVar(&noNotify, "no-notify", false, "create tables whose inserts do not wake workers up")
	cmd.Flags().BoolVar(&partitioned, "partitioned", false, "create inboxes in partitions, one for each month of landing")
	return cmd
}

func (a *app) printApplied(all []applied, complete bool) error {
	if a.output == "json" {
		return a.json(all)
	}
	if len(all) > 0 {
		rows := make([][]any, len(all))
		for i, m := range all {
			rows[i] = []any{m.Database, m.Target, m.Version, m.Name, map[bool]string{true: "adopted", false: "applied"}[m.Adopted]}
		}
		a.table([]any{"database", "target", "version", "name", "done"}, rows)
	}
	if complete {
		a.printf("Up to date.\n")
	}
	return nil
}

// target is the version of a target.
type target struct {
	Database string `json:"database"`
	Target   string `json:"target"`
	Have     int64  `json:"have"`
	Want     int64  `json:"want"`
	State    string `json:"state"`
}

func newMigrateStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the version of every target", Args: cobra.NoArgs,
		Long: `Shows which version each target has and which one this binary needs. It changes
nothing. The exit code is 4 unless they are the same.`,
		Example: "  omnibox migrate status",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, wrong := []target{}, false
			err := a.migrations(cmd.Context(), func(name string, db *pgxpool.Pool, opts migrate.Options) error {
				found, err := migrate.Status(cmd.Context(), db, opts)
				for _, s := range found {
					state := "ok"
					switch {
					case s.Have > s.Want:
						state = "newer than this binary: upgrade it"
					case s.Have < s.Want:
						state = "run omnibox migrate up"
					}
					wrong = wrong || s.Have != s.Want
					all = append(all, target{Database: name, Target: s.Target, Have: s.Have, Want: s.Want, State: state})
				}
				return err
			})
			if err != nil {
				return err
			}
			if err := a.printTargets(all); err != nil || !wrong {
				return err
			}
			return &codeError{code: exitProblem}
		},
	}
}

func (a *app) printTargets(all []target) error {
	if a.output == "json" {
		return a.json(all)
	}
	rows := make([][]any, len(all))
	for i, t := range all {
		rows[i] = []any{t.Database, t.Target, t.Have, t.Want, t.State}
	}
	a.table([]any{"database", "target", "have", "want", "state"}, rows)
	return nil
}
