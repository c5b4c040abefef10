// Command strategy is a worker with strategies of its own. It reads the same
// configuration as "omnibox worker" and takes its place:
//
//	go run ./examples/strategy -c omnibox.yaml
//
// Its commit strategy writes a row to the table "deliveries" for each delivered
// event, in the transaction that completes the event: one is never there without
// the other. It needs on_complete: keep. Its fetch strategy takes small bites.
package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

func main() {
	file := flag.String("c", "", "configuration `file`")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := start(*file, log); err != nil {
		log.Error("worker ended", slog.Any("error", err))
		os.Exit(1)
	}
}

func start(file string, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	return run(ctx, cfg, log)
}

// run gives every pipeline the strategies.
func run(ctx context.Context, cfg *config.Config, log *slog.Logger, opts ...worker.Option) error {
	for name, box := range cfg.Outboxes {
		db, err := pgxpool.New(ctx, cfg.Databases[box.Database].URL.Reveal())
		if err != nil {
			return err
		}
		defer db.Close()
		createTable(ctx, db, log)
		opts = append(opts,
			worker.FetchWith(name, func(s *store.Store) omnibox.FetchStrategy { return bites{s} }),
			worker.CommitWith(name, func(s *store.Store) omnibox.CommitStrategy {
				return &deliveries{db: db, store: s, table: store.QuoteTable(box.Table)}
			}))
	}
	return worker.Run(ctx, cfg, append(opts, worker.Log(log))...)
}

// createTable waits for the database, as a worker does. It gives up when ctx ends.
func createTable(ctx context.Context, db *pgxpool.Pool, log *slog.Logger) {
	for ctx.Err() == nil {
		_, err := db.Exec(ctx, schema)
		if err == nil {
			return
		}
		log.WarnContext(ctx, "create table deliveries, trying again", slog.Any("error", err))
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}
