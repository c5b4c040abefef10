package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
)

// Options say where the demo runs. What is not named is started.
type Options struct {
	// Out is where the demo is shown.
	Out io.Writer
	// Terminal says that Out is one: then there are colours and live numbers.
	Terminal bool
	// Stay keeps everything up behind the summary, until ctx ends.
	Stay bool
	// DatabaseURL of a Postgres on which the demo may create databases, which
	// it drops at the end.
	DatabaseURL string
	// TemporalAddress of a Temporal frontend.
	TemporalAddress string
	// LogDir is where the worker's log is. Defaults to a temporary directory,
	// which is removed if all went well.
	LogDir string
	// Brokers of a Kafka, on which the demo creates topics, and deletes them.
	Brokers []string

	tamper func(*evidence) // tests only: what the check is given
}

// ErrNotHeld says that the summary has a promise that was not kept.
var ErrNotHeld = errors.New("not every promise was kept")

const (
	// patience bounds every wait. Servers that share two cores with a build take
	// their time.
	patience = time.Minute
	// closing bounds what is done with other people's servers at the end.
	closing = 30 * time.Second
	// dialing is how long a server may take to answer for the first time.
	dialing = 15 * time.Second
)

var errPatience = fmt.Errorf("waited for %s", patience)

// Run runs the demo, which takes some twenty seconds. It stops everything that
// it has started before it returns. The error is ErrNotHeld if a promise was
// not kept, and ctx's if it ended before the summary.
func Run(ctx context.Context, o Options) error {
	s := &screen{out: o.Out, terminal: o.Terminal}
	dir := o.LogDir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "omnibox-demo-"); err != nil {
			return err
		}
	}
	st := newStack(o, s, dir, strings.ToLower(rand.Text()[:5]))
	quiet := context.AfterFunc(ctx, func() { s.print("\nStopping. Ctrl-C again ends it at once.") })
	defer quiet()
	err := run(ctx, st)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // whatever else that made fail
	}
	closeErr := st.close(context.WithoutCancel(ctx))
	if ctx.Err() != nil && closeErr == nil {
		s.print("Stopped.")
	}
	if closeErr == nil && (err == nil || ctx.Err() != nil) {
		if o.LogDir == "" {
			closeErr = os.RemoveAll(dir)
		}
	} else {
		s.print("Logs are kept in " + dir)
	}
	return errors.Join(err, closeErr)
}

func run(ctx context.Context, st *stack) error {
	started := time.Now()
	s := st.screen
	s.print(s.paint(bold, "omnibox demo") + ": orders from Postgres to Kafka, with Temporal in control")
	sh, err := open(ctx, st)
	if err != nil {
		return err
	}
	played := sh.play(ctx)
	switch {
	case errors.Is(played, errPatience) && ctx.Err() == nil: // the summary says what is missing
		s.bad("%s", played)
	case played != nil:
		return played
	}
	held, err := sh.summarize(ctx)
	switch {
	case err != nil:
		return err
	case played != nil || !held:
		return ErrNotHeld
	}
	s.print(fmt.Sprintf("\n%s %.0f s from start to summary.", s.paint(green, "Every promise was kept."), time.Since(started).Seconds()))
	if !st.options.Stay {
		return nil
	}
	return sh.stay(ctx)
}

// open brings everything up.
func open(ctx context.Context, st *stack) (*show, error) {
	st.screen.title("Starting")
	if err := st.start(ctx); err != nil {
		return nil, err
	}
	since := time.Now()
	db, err := pgxpool.New(context.WithoutCancel(ctx), st.databaseURL)
	if err != nil {
		return nil, err
	}
	st.closeLater(func(context.Context) error { db.Close(); return nil })
	if _, err := db.Exec(ctx, statement("create_tables")); err != nil {
		return nil, fmt.Errorf("create tables: %w", err)
	}
	if _, err := migrate.Up(ctx, db, migrate.Options{}); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	st.up("Tables", "orders and customers, and omnibox's by its migrations", since)
	sh := &show{
		stack: st, screen: st.screen, topic: st.topic, audit: newAudit(),
		shop: &shop{db: db, outbox: store.Outbox{}, topic: st.orders, customers: 30},
	}
	if sh.store, err = store.Open(ctx, db, store.Config{Pipeline: pipelineName, Owner: "demo"}); err != nil {
		return nil, err
	}
	if err := sh.startWorker(ctx); err != nil {
		return nil, err
	}
	if sh.invoicing, err = st.openInvoicing(ctx); err != nil {
		return nil, err
	}
	st.tellWhereToLook(sh.metrics)
	return sh, nil
}
