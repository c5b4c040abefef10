package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

// insufficientPrivilege is Postgres' code for a missing right.
const insufficientPrivilege = "42501"

// probeTimeout bounds one look at a server.
const probeTimeout = 10 * time.Second

func newDoctor(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "doctor [pipeline...]", Short: "Check everything a worker needs, and say how to mend it",
		Long: `Looks at databases, schema, rights, settings, brokers and Temporal, for all
pipelines or for those named. It changes nothing.

The exit code is 4 if a check failed. Warnings alone do not count.`,
		Example: `  omnibox doctor
  omnibox doctor orders --output json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Load(a.configPath)
			if err != nil {
				return &codeError{code: exitUsage, err: fmt.Errorf("configuration is not valid:\n%w", err)}
			}
			names, err := pipelines(cfg, args)
			if err != nil {
				return err
			}
			return a.printChecks(examine(cmd.Context(), cfg, names))
		},
	}
}

// finding is the result of a check as JSON.
type finding struct {
	Subject string `json:"subject"`
	Check   string `json:"check"`
	State   string `json:"state"`
	Found   string `json:"found"`
	Mend    string `json:"mend,omitempty"`
}

// examine looks at all that the named pipelines need, each server once.
func examine(ctx context.Context, cfg *config.Config, names []string) []finding {
	var all []finding
	add := func(subject string, checks ...store.Check) {
		for _, c := range checks {
			all = append(all, finding{Subject: subject, Check: c.Name, State: string(c.State), Found: c.Found, Mend: c.Mend})
		}
	}
	topics := map[string][]string{} // by broker
	var keyed []config.Box          // inboxes that forget messages
	for _, name := range names {
		checks, found, forgets := checkPipeline(ctx, cfg, name)
		add("pipeline "+name, checks...)
		b, _ := cfg.Box(name)
		topics[b.Broker] = append(topics[b.Broker], found...)
		if forgets {
			keyed = append(keyed, b)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		slices.Sort(topics[name])
		add("broker "+name, checkBroker(ctx, name, cfg.Brokers[name], slices.Compact(topics[name]), keyed)...)
	}
	add("temporal", checkTemporal(ctx, cfg, names)...)
	return all
}

func failed(name string, err error, mend string) store.Check {
	return store.Check{Name: name, State: store.HealthFail, Found: short(err.Error(), 300), Mend: mend}
}

// checkPipeline looks at a pipeline's database, and returns the topics that it
// has events for, and whether it is an inbox that forgets messages.
func checkPipeline(ctx context.Context, cfg *config.Config, name string) (checks []store.Check, topics []string, forgets bool) {
	b, _ := cfg.Box(name)
	db, err := connect(ctx, cfg, b.Database)
	if err != nil {
		return []store.Check{failed("database", err, fmt.Sprintf("check databases.%s.url, and that the server answers from here", b.Database))}, nil, false
	}
	defer db.Close()
	s, err := store.Open(ctx, db, b.Store("cli"))
	if err != nil {
		mend := "omnibox migrate up"
		if !errors.Is(err, store.ErrNoTable) {
			mend = "grant the user of the url usage on the table's schema"
		}
		return []store.Check{failed("table", err, mend)}, nil, false
	}
	checks = []store.Check{checkSchema(worker.CheckSchema(ctx, db, b))}
	found, err := s.Doctor(ctx)
	checks = append(checks, found...)
	if err != nil {
		checks = append(checks, failed("database", err, ""))
	}
	if b.Inbox != nil && b.Inbox.Handler.SQL != "" {
		checks = append(checks, checkHandler(ctx, db, b))
	}
	forgets, _ = s.RemembersByKeys(ctx) // the checks of the database say why not
	return checks, topicsOf(ctx, s, b), forgets
}

// checkHandler looks whether the database can run the handler, as the worker does.
func checkHandler(ctx context.Context, db *pgxpool.Pool, b config.Box) store.Check {
	const name = "handler"
	if err := inbox.SQL(b.Inbox.Handler.SQL).Check(ctx, db); err != nil {
		return failed(name, err, fmt.Sprintf("create the function, grant it to the user of the url, or correct %s.handler.sql", b.Path()))
	}
	return store.Check{Name: name, State: store.HealthOK, Found: "the database can run it"}
}

func checkSchema(err error) store.Check {
	if version, ok := errors.AsType[*migrate.VersionError](err); ok {
		mend := "omnibox migrate up"
		if version.Newer() {
			mend = "upgrade this binary"
		}
		return failed("schema", err, mend)
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == insufficientPrivilege {
		return failed("schema", refused, "run what `omnibox migrate grants` prints for this user")
	}
	if err != nil {
		return failed("schema", err, "")
	}
	return store.Check{Name: "schema", State: store.HealthOK, Found: "the version that this binary needs"}
}

func (a *app) printChecks(all []finding) error {
	bad := slices.ContainsFunc(all, func(f finding) bool { return f.State == string(store.HealthFail) })
	if a.output == "json" {
		if err := a.json(all); err != nil {
			return err
		}
	} else {
		rows := make([][]any, len(all))
		for i, f := range all {
			rows[i] = []any{f.State, f.Subject, f.Check, short(f.Found, 100)}
		}
		a.table([]any{"state", "subject", "check", "found"}, rows)
		for _, f := range all {
			if f.Mend != "" {
				a.printf("\n%s, %s: %s\n  mend: %s\n", f.Subject, f.Check, f.Found, f.Mend)
			}
		}
	}
	if bad {
		return &codeError{code: exitProblem}
	}
	return nil
}
