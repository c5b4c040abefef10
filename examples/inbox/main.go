// Command inbox is a service that consumes, changes and produces: for each order
// that is placed it writes an invoice and announces it, both in the transaction
// that completes the message. So each order has one invoice and one announcement,
// whatever fails and however often the message comes.
//
// billing.go has the handlers, omnibox.yaml the configuration. With a Postgres, a
// Temporal (temporal server start-dev) and a Kafka that has the topics orders and
// invoices:
//
//	export OMNIBOX_DATABASE_URL=postgres://localhost/shop
//	export OMNIBOX_KAFKA_BROKERS=localhost:9092
//	export OMNIBOX_CONFIG=examples/inbox/omnibox.yaml
//	go run ./cmd/omnibox migrate up
//	go run ./examples/inbox
//
// It also relays what is in the outbox, so that in a second terminal, with the same
// variables, two orders can be placed and looked for:
//
//	go run ./examples/enqueue
//	go run ./cmd/omnibox status
//	psql $OMNIBOX_DATABASE_URL -c 'table invoices'
//
// A message that is no order becomes a dead letter, and what is behind it goes on:
//
//	echo garbage | kafka-console-producer.sh --bootstrap-server localhost:9092 --topic orders
//	go run ./cmd/omnibox dead list
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

	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

func main() {
	file := flag.String("c", os.Getenv("OMNIBOX_CONFIG"), "configuration `file`")
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

// run gives the inbox its handlers. That there is one for all of routed is checked
// before anything starts.
func run(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	db, err := pgxpool.New(ctx, cfg.Databases["main"].URL.Reveal())
	if err != nil {
		return err
	}
	defer db.Close()
	createTable(ctx, db, log)
	return worker.Run(ctx, cfg, worker.Log(log), worker.Router("billing", handlers(), routed...))
}

// createTable waits for the database, as a worker does. It gives up when ctx ends.
func createTable(ctx context.Context, db *pgxpool.Pool, log *slog.Logger) {
	for ctx.Err() == nil {
		_, err := db.Exec(ctx, schema)
		if err == nil {
			return
		}
		log.WarnContext(ctx, "create table invoices, trying again", slog.Any("error", err))
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}
