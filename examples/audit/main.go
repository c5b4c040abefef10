// Command audit is a worker with a step of its own: before an event is published,
// a line about it is written to an audit table.
//
// A step runs again on every attempt at its event, and once more when a worker
// dies before it has settled the event. So it must be idempotent, as this one is
// by the primary key of its table.
//
//	OMNIBOX_DATABASE_URL=… OMNIBOX_KAFKA_BROKERS=… go run ./examples/audit
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

type audit struct{ db *pgxpool.Pool }

// Spec bounds one run: a database that does not answer is not waited for longer.
func (audit) Spec() pipeline.Spec { return pipeline.Spec{Name: "audit", Timeout: 2 * time.Second} }

// Run writes the line. When the database cannot be reached, the error says that the
// event is not to blame: nothing is counted, and the pipeline waits. What the
// database refuses is tried again with backoff and counted, until the event is dead.
func (a audit) Run(ctx context.Context, e *omnibox.Event) (pipeline.Result, error) {
	_, err := a.db.Exec(ctx, `insert into audit (event_id, event_type, seen_at) values ($1, $2, now())
		on conflict (event_id) do nothing`, e.ID, e.Type)
	switch {
	case err == nil:
		return pipeline.Next, nil
	case isDown(err):
		return pipeline.Stop, omnibox.Unreachable(err)
	}
	return pipeline.Stop, err
}

// isDown tells whether err is of the database as a whole, and not of a statement.
func isDown(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(refused.Code, "57P") // it shuts down, crashed, or starts
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err)
}

func main() {
	if err := start(); err != nil {
		log.Fatal(err)
	}
}

func start() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := config.Load("") // from the environment alone
	if err != nil {
		return err
	}
	return run(ctx, cfg, slog.Default())
}

// run adds the step to the pipeline "outbox", which is the only one when there is
// no configuration file.
func run(ctx context.Context, cfg *config.Config, logger *slog.Logger, opts ...worker.Option) error {
	pool, err := pgxpool.New(ctx, cfg.Databases["main"].URL.Reveal())
	if err != nil {
		return err
	}
	defer pool.Close()
	createTable(ctx, pool, logger)
	return worker.Run(ctx, cfg, append(opts, worker.Log(logger), worker.Step("outbox", audit{pool}))...)
}

// createTable waits for the database, as a worker does. It gives up when ctx ends.
func createTable(ctx context.Context, db *pgxpool.Pool, logger *slog.Logger) {
	for ctx.Err() == nil {
		_, err := db.Exec(ctx, `create table if not exists audit
			(event_id uuid primary key, event_type text not null, seen_at timestamptz not null)`)
		if err == nil {
			return
		}
		logger.WarnContext(ctx, "create table audit, trying again", slog.Any("error", err))
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}
