package main

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/membroker"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// filled is a migrated database with n events, and its URL.
func filled(t *testing.T, n int) (*pgxpool.Pool, string) {
	t.Helper()
	url := devtest.Database(t)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = migrate.Up(t.Context(), pool, migrate.Options{})
	require.NoError(t, err)
	events := make([]omnibox.Event, n)
	for i := range events {
		events[i] = omnibox.Event{
			Topic: "orders", Key: strconv.Itoa(i % 7), Type: "order.placed",
			Aggregate: omnibox.Aggregate{Type: "order", ID: uuid.New()}, Payload: map[string]int{"n": i},
		}
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := store.Outbox{}.Enqueue(t.Context(), tx, events...)
		return err
	}))
	return pool, url
}

// counts are the events completed, those delivered, and those that are both.
func counts(t *testing.T, db *pgxpool.Pool) (completed, delivered, both int) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), `select
		(select count(*) from outbox_events where status = 'completed'), (select count(*) from deliveries),
		(select count(*) from outbox_events join deliveries on event_id = id where status = 'completed')`).Scan(&completed, &delivered, &both))
	return completed, delivered, both
}

func TestDeliveriesAreRecordedWithTheirEvents(t *testing.T) {
	const n = 350
	db, url := filled(t, n)
	cfg, err := config.Parse("", nil, []string{
		"OMNIBOX_DATABASE_URL=" + url, "OMNIBOX_KAFKA_BROKERS=127.0.0.1:1", "OMNIBOX_HTTP_LISTEN=off",
		"OMNIBOX_TEMPORAL_ADDRESS=" + devtest.Temporal(t).Address(), "OMNIBOX_TEMPORAL_NAMESPACE=" + devtest.Namespace(t),
	})
	require.NoError(t, err)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	kafka, done := membroker.New(), make(chan error, 1)
	kafka.SetRefuse(func(r broker.Record) error {
		if string(r.Value) == `{"n":3}` {
			return errors.New("refused")
		}
		return nil
	})
	go func() { done <- run(ctx, cfg, slog.New(slog.DiscardHandler), worker.Publisher("kafka", kafka)) }()
	require.NoError(t, kafka.Wait(ctx, "orders", n-1))
	stop() // what was sent is settled all the same
	require.NoError(t, <-done)
	completed, delivered, both := counts(t, db)
	require.Equal(t, []int{n - 1, n - 1, n - 1}, []int{completed, delivered, both})
}

// Half of the events are another worker's by the time they are settled: they are
// neither completed nor recorded, and the rest is both.
func TestLostEventsAreNotRecorded(t *testing.T) {
	db, _ := filled(t, 100)
	_, err := db.Exec(t.Context(), schema)
	require.NoError(t, err)
	open := func(owner string) *store.Store {
		s, err := store.Open(t.Context(), db, store.Config{Owner: owner})
		require.NoError(t, err)
		return s
	}
	slots := make([]int, omnibox.Slots)
	for i := range slots {
		slots[i] = i
	}
	mine := open("mine")
	c, err := bites{mine}.Claim(t.Context(), slots)
	require.NoError(t, err)
	var events []omnibox.Event
	for more := true; more; {
		var some []omnibox.Event
		some, more, err = c.Fetch(t.Context(), 1000)
		require.NoError(t, err)
		require.LessOrEqual(t, len(some), bite)
		events = append(events, some...)
	}
	require.Len(t, events, 100)
	var outcomes []omnibox.Outcome
	var lost []int
	for i := range events {
		outcomes = append(outcomes, omnibox.Outcome{Event: &events[i], Verdict: omnibox.Completed})
		if events[i].Key < "3" {
			lost = append(lost, events[i].Fence.Slot)
		}
	}
	_, err = db.Exec(t.Context(), "update omnibox.slots set lease_until = now() where slot = any ($1)", lost)
	require.NoError(t, err)
	_, err = open("other").Claim(t.Context(), lost)
	require.NoError(t, err)

	strategy := &deliveries{db: db, store: mine, table: store.QuoteTable("outbox_events")}
	for range 2 { // again, as after an answer that was lost
		require.ErrorIs(t, strategy.Commit(t.Context(), outcomes), omnibox.ErrLeaseLost)
		completed, delivered, both := counts(t, db)
		require.NotZero(t, both)
		require.Less(t, both, 100)
		require.Equal(t, []int{both, both}, []int{completed, delivered})
	}
}
