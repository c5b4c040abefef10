package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/worker/config"
)

// tablesOf are the tables of a database, which must be named if there are
// several: SQL that is printed is for one.
func (a *app) tablesOf(database string) (migrate.Options, error) {
	cfg, err := a.databases()
	if err != nil {
		return migrate.Options{}, err
	}
	names := used(cfg)
	switch {
	case database == "" && len(names) == 1:
		database = names[0]
	case database == "":
		return migrate.Options{}, usagef("which database? Name it with --database: %s", list(names))
	case !slices.Contains(names, database):
		return migrate.Options{}, usagef("no pipeline uses a database %s; there are: %s", database, list(names))
	}
	return tablesIn(cfg, database), nil
}

// used lists the databases that have pipelines.
func used(cfg *config.Config) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(cfg.Databases)), func(name string) bool {
		opts := tablesIn(cfg, name)
		return len(opts.Tables)+len(opts.Inboxes) == 0
	})
}

func newMigratePrint(a *app) *cobra.Command {
	var database string
	var adopt, noNotify, partitioned bool
	cmd := &cobra.Command{
		Use: "print", Short: "Print the migrations as SQL, to be run by hand", Args: cobra.NoArgs,
		Long: `Prints what migrate up does to a database that it has not seen, as SQL for psql.
It connects to nothing. Once the SQL has run, migrate up finds nothing to do.
Tables without a schema are taken to be in public.`,
		Example: `  omnibox migrate print | psql "$OWNER_URL"
  omnibox migrate print --adopt   # the tables are there, made by omni-box`,
		RunE: func(*cobra.Command, []string) error {
			opts, err := a.tablesOf(database)
			if err != nil {
				return err
			}
			opts.NotifyOff, opts.Partitioned, opts.Adopt = noNotify, partitioned, adopt
			return migrate.Print(a.out, opts)
		},
	}
	cmd.Flags().StringVar(&database, "database", "", "the `name` of the database in the configuration, if it has several")
	cmd.Flags().BoolVar(&adopt, "adopt", false, "the tables are there, made by omni-box")
	cmd.Flags().BoolVar(&noNotify, "no-notify", false, "create tables whose inserts do not wake workers up")
	cmd.Flags().BoolVar(&partitioned, "partitioned", false, "create inboxes in partitions, one for each month of landing")
	return cmd
}

func newMigrateGrants(a *app) *cobra.Command {
	var database, role string
	cmd := &cobra.Command{
		Use: "grants USER", Short: "Print the rights that a worker or a producer needs, as SQL",
		Long: `Prints the least rights that a database user needs, as SQL. A worker relays
events, lands messages and handles them; it serves the command line too, but for
migrate up. What handlers write to is not among its rights. A producer writes
events. It connects to nothing.`,
		Example: `  omnibox migrate grants relay | psql "$OWNER_URL"
  omnibox migrate grants shop --role producer`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("one argument expected: the database user")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			roles := []migrate.Role{migrate.Worker, migrate.Producer}
			if !slices.Contains(roles, migrate.Role(role)) {
				return usagef("--role %s: it is %s or %s", role, migrate.Worker, migrate.Producer)
			}
			opts, err := a.tablesOf(database)
			if err != nil {
				return err
			}
			text, err := migrate.Grants(args[0], migrate.Role(role), opts.Tables, opts.Inboxes...)
			if err != nil {
				return fmt.Errorf("print grants: %w", err)
			}
			a.printf("%s", text)
			return nil
		},
	}
	cmd.Flags().StringVar(&database, "database", "", "the `name` of the database in the configuration, if it has several")
	cmd.Flags().StringVar(&role, "role", string(migrate.Worker), "what the user does: worker or producer")
	return cmd
}
