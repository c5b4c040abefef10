package main

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/worker/config"
)

// kafka has the topics of the example; it consumes the invoices.
func kafka(t *testing.T, brokers []string) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics("invoices"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, name := range []string{"orders", "invoices"} {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, -1
		req.Topics = append(req.Topics, topic)
	}
	_, err = req.RequestWith(t.Context(), client)
	require.NoError(t, err)
	return client
}

// message is one of the topic orders.
func message(id, version, value string) *kgo.Record {
	return &kgo.Record{Topic: "orders", Key: []byte(id), Value: []byte(value), Headers: []kgo.RecordHeader{
		{Key: "event_id", Value: []byte("m-" + id)},
		{Key: "event_type", Value: []byte("order.placed")},
		{Key: "schema_version", Value: []byte(version)},
	}}
}

func TestEachOrderThatIsConsumedIsInvoicedOnce(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	url, brokers := devtest.Database(t), devtest.Brokers(t)
	db, err := pgxpool.New(ctx, url)
	require.NoError(t, err)
	defer db.Close()
	_, err = migrate.Up(ctx, db, migrate.Options{Tables: []string{"outbox_events"}, Inboxes: []string{"inbox_events"}})
	require.NoError(t, err)
	text, err := os.ReadFile("omnibox.yaml")
	require.NoError(t, err)
	cfg, err := config.Parse("omnibox.yaml", text, []string{
		"OMNIBOX_DATABASE_URL=" + url, "OMNIBOX_KAFKA_BROKERS=" + brokers[0], "OMNIBOX_HTTP_LISTEN=off",
		"OMNIBOX_TEMPORAL_ADDRESS=" + devtest.Temporal(t).Address(), "OMNIBOX_TEMPORAL_NAMESPACE=" + devtest.Namespace(t),
	})
	require.NoError(t, err)

	client := kafka(t, brokers)
	require.NoError(t, client.ProduceSync(ctx,
		message("o-1", "2", `{"total": "12.50"}`),
		message("o-1", "2", `{"total": "12.50"}`), // again
		message("o-2", "1", `{"sum": "99.00"}`),
		&kgo.Record{Topic: "orders", Key: []byte("o-1"), Value: []byte("garbage")},
		message("o-3", "2", `{"total": "7.00"}`),
	).FirstErr())

	working, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- run(working, cfg, slog.New(slog.DiscardHandler)) }()
	announced := map[string]int{}
	for len(announced) < 3 {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { announced[string(r.Key)]++ })
	}
	stop()
	require.NoError(t, <-done)
	require.Equal(t, map[string]int{"o-1": 1, "o-2": 1, "o-3": 1}, announced)

	rows, err := db.Query(ctx, `select i.order_id || ' ' || i.total || ' ' || e.causation_id
		from invoices i join outbox_events e on e.aggregate_id = i.id order by 1`)
	require.NoError(t, err)
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"o-1 12.50 m-o-1", "o-2 99.00 m-o-2", "o-3 7.00 m-o-3"}, got)
	var dead string
	require.NoError(t, db.QueryRow(ctx, "select string_agg(message_id, ',') from inbox_events where status = 'failed'").Scan(&dead))
	require.Equal(t, "orders:0:3", dead)
}

// With nothing up it waits, and it stops when it is told to.
func TestItWaitsForItsDatabase(t *testing.T) {
	text, err := os.ReadFile("omnibox.yaml")
	require.NoError(t, err)
	cfg, err := config.Parse("omnibox.yaml", text, []string{
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
