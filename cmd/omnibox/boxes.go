package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

// databases reads the configuration of commands that work on databases alone.
func (a *app) databases() (*config.Config, error) {
	cfg, err := config.LoadDatabases(a.configPath)
	if err != nil {
		return nil, &codeError{code: exitUsage, err: fmt.Errorf("configuration is not valid:\n%w", err)}
	}
	return cfg, nil
}

// connect opens a database of the configuration and makes sure that it answers.
func connect(ctx context.Context, cfg *config.Config, name string) (*pgxpool.Pool, error) {
	pool, err := pgxpool.ParseConfig(cfg.Databases[name].URL.Reveal())
	if err != nil {
		return nil, usagef("databases.%s.url: %w", name, err)
	}
	if pool.ConnConfig.ConnectTimeout == 0 {
		pool.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	if pool.ConnConfig.RuntimeParams["application_name"] == "" {
		pool.ConnConfig.RuntimeParams["application_name"] = "omnibox cli"
	}
	db, err := pgxpool.NewWithConfig(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", name, err)
	}
	if err := db.Ping(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("database %s: %w", name, err)
	}
	return db, nil
}

// box is a pipeline with its store.
type box struct {
	name string
	cfg  config.Box
	*store.Store
	// table is the same for pipelines on one table.
	table string
	// shares says that another pipeline works on the same table.
	shares bool
}

// withBoxes opens the named pipelines, all if there are no names, and closes
// them when fn returns.
func (a *app) withBoxes(ctx context.Context, names []string, fn func(cfg *config.Config, boxes []box) error) error {
	cfg, err := a.databases()
	if err != nil {
		return err
	}
	if names, err = pipelines(cfg, names); err != nil {
		return err
	}
	pools := map[string]*pgxpool.Pool{}
	defer func() {
		for _, db := range pools {
			db.Close()
		}
	}()
	var boxes []box
	for _, name := range names {
		b, _ := cfg.Box(name)
		db := pools[b.Database]
		if db == nil {
			if db, err = connect(ctx, cfg, b.Database); err != nil {
				return err
			}
			pools[b.Database] = db
		}
		// what an older or newer schema means is not known: nothing is read or changed
		if err := worker.CheckSchema(ctx, db, b); err != nil {
			return fmt.Errorf("pipeline %s: %w", name, err)
		}
		s, err := store.Open(ctx, db, b.Store("cli"))
		if err != nil {
			return fmt.Errorf("pipeline %s: %w", name, err)
		}
		boxes = append(boxes, box{name: name, cfg: b, Store: s, table: cfg.TableOf(b), shares: cfg.Shares(b)})
	}
	return fn(cfg, boxes)
}

// pipelines are the named ones of the configuration, all if there are no names.
func pipelines(cfg *config.Config, names []string) ([]string, error) {
	var all []string
	for _, b := range cfg.Boxes() {
		all = append(all, b.Name)
	}
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return nil, usagef("there is no pipeline %s; there are: %s", name, list(all))
		}
	}
	return names, nil
}

// one is the pipeline of a command that works on a single one.
func (a *app) one(ctx context.Context, args []string, fn func(b box) error) error {
	return a.withBoxes(ctx, args, func(_ *config.Config, boxes []box) error {
		if len(boxes) != 1 {
			names := make([]string, len(boxes))
			for i, b := range boxes {
				names[i] = b.name
			}
			return usagef("which pipeline? There are: %s", list(names))
		}
		return fn(boxes[0])
	})
}

// atMost checks the number of arguments and says what they are.
func atMost(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef("%d arguments, at most %d expected: %s", len(args), n, what)
		}
		return nil
	}
}
