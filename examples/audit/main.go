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
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

type audit struct{ db *pgxpool.Pool }

// Spec bounds one run: a database that does not answer is not waited for longer.
func (audit) Spec() pipeline.Spec { return pipeline.Spec{Name: "audit", Timeout: 2 * time.Second} }

// Run writes the line. When the database is down, the error says that the event
// is not to blame: nothing is counted, and the pipeline waits.
func (a audit) Run(ctx context.Context, e *omnibox.Event) (pipeline.Result, error) {
	_, err := a.db.Exec(ctx, `insert into audit (event_id, event_type, seen_at) values ($1, $2, now())
		on conflict (event_id) do nothing`, e.ID, e.Type)
	if err != nil {
		return pipeline.Stop, omnibox.Unreachable(err)
	}
	return pipeline.Next, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := config.Load("") // from the environment alone
	if err == nil {
		err = run(ctx, cfg, worker.Log(slog.Default()))
	}
	if err != nil {
		log.Println(err)
	}
}

// run adds the step to the pipeline "outbox", which is the only one when there is
// no configuration file.
func run(ctx context.Context, cfg *config.Config, opts ...worker.Option) error {
	pool, err := pgxpool.New(ctx, string(cfg.Databases["main"].URL))
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = pool.Exec(ctx, `create table if not exists audit
		(event_id uuid primary key, event_type text not null, seen_at timestamptz not null)`)
	if err != nil {
		return err
	}
	return worker.Run(ctx, cfg, append(opts, worker.Step("outbox", audit{pool}))...)
}
