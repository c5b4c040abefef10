package main

import (
	"context"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker/membroker"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestEveryEventIsAuditedBeforeItIsPublished(t *testing.T) {
	url := devtest.Database(t)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	defer pool.Close()
	_, err = migrate.Up(t.Context(), pool, migrate.Options{})
	require.NoError(t, err)
	events := make([]omnibox.Event, 20)
	for i := range events {
		events[i] = omnibox.Event{
			Topic: "orders", Key: strconv.Itoa(i % 3), Type: "order.placed",
			Aggregate: omnibox.Aggregate{Type: "order", ID: uuid.New()}, Payload: map[string]int{"n": i},
		}
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := store.Outbox{}.Enqueue(t.Context(), tx, events...)
		return err
	}))
	cfg, err := config.Parse("", nil, []string{
		"OMNIBOX_DATABASE_URL=" + url, "OMNIBOX_KAFKA_BROKERS=127.0.0.1:1", "OMNIBOX_HTTP_LISTEN=off",
		"OMNIBOX_TEMPORAL_ADDRESS=" + devtest.Temporal(t).Address(), "OMNIBOX_TEMPORAL_NAMESPACE=" + devtest.Namespace(t),
	})
	require.NoError(t, err)

	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	kafka, done := membroker.New(), make(chan error, 1)
	go func() { done <- run(ctx, cfg, slog.New(slog.DiscardHandler), worker.Publisher("kafka", kafka)) }()
	require.NoError(t, kafka.Wait(ctx, "orders", len(events)))
	stop()
	require.NoError(t, <-done)

	var lines int
	require.NoError(t, pool.QueryRow(t.Context(), "select count(*) from audit join outbox_events e on e.id = event_id").Scan(&lines))
	require.Equal(t, len(events), lines)
}

func TestStepIsIdempotentAndBlamesNoEventForAnOutage(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), devtest.Database(t))
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "create table audit (event_id uuid primary key, event_type text not null, seen_at timestamptz not null)")
	require.NoError(t, err)
	e := &omnibox.Event{ID: uuid.New(), Type: "order.placed"}
	for range 2 {
		result, err := audit{pool}.Run(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, pipeline.Next, result)
	}
	// what the database refuses is the event's failure
	_, err = pool.Exec(t.Context(), "drop table audit")
	require.NoError(t, err)
	_, err = audit{pool}.Run(t.Context(), e)
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(err))
	pool.Close()

	down, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none")
	require.NoError(t, err)
	defer down.Close()
	_, err = audit{down}.Run(t.Context(), e)
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err))
}

// With nothing up it waits, and it stops when it is told to.
func TestItWaitsForItsDatabase(t *testing.T) {
	cfg, err := config.Parse("", nil, []string{
		"OMNIBOX_DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "OMNIBOX_KAFKA_BROKERS=127.0.0.1:1",
		"OMNIBOX_HTTP_LISTEN=off", "OMNIBOX_TEMPORAL_ADDRESS=127.0.0.1:1",
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	waits := &firstLine{seen: stop}
	require.NoError(t, run(ctx, cfg, slog.New(slog.NewTextHandler(waits, nil))))
	require.Contains(t, waits.line, "trying again")
}

// firstLine calls seen when something is logged.
type firstLine struct {
	line string
	seen func()
}

func (f *firstLine) Write(p []byte) (int, error) {
	if f.line == "" {
		f.line = string(p)
		f.seen()
	}
	return len(p), nil
}
