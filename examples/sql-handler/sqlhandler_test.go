// Package sqlhandler tests the example in this folder, which has no code.
package sqlhandler

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/membroker"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func message(id, eventType, value string) broker.Message {
	return broker.Message{Topic: "orders", Key: []byte(id), Value: []byte(value), Headers: []broker.Header{
		{Key: "event_id", Value: []byte("m-" + id)}, {Key: "event_type", Value: []byte(eventType)},
	}}
}

func TestTheFunctionIsAppliedToEachMessageOnce(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	url := devtest.Database(t)
	db, err := pgxpool.New(ctx, url)
	require.NoError(t, err)
	defer db.Close()
	_, err = migrate.Up(ctx, db, migrate.Options{Tables: []string{"outbox_events"}, Inboxes: []string{"inbox_events"}})
	require.NoError(t, err)
	schema, err := os.ReadFile("billing.sql")
	require.NoError(t, err)
	_, err = db.Exec(ctx, string(schema))
	require.NoError(t, err)
	text, err := os.ReadFile("omnibox.yaml")
	require.NoError(t, err)
	cfg, err := config.Parse("omnibox.yaml", text, []string{
		"OMNIBOX_DATABASE_URL=" + url, "OMNIBOX_KAFKA_BROKERS=127.0.0.1:1", "OMNIBOX_HTTP_LISTEN=off",
		"OMNIBOX_TEMPORAL_ADDRESS=" + devtest.Temporal(t).Address(), "OMNIBOX_TEMPORAL_NAMESPACE=" + devtest.Namespace(t),
	})
	require.NoError(t, err)

	kafka := membroker.New()
	require.NoError(t, kafka.CreateTopic("orders", 1))
	kafka.Append(
		message("o-1", "order.placed", `{"total": "12.50"}`),
		message("o-1", "order.placed", `{"total": "12.50"}`), // again
		message("o-2", "order.cancelled", `{}`),
		message("o-3", "order.placed", `{"total": "-1"}`),
		message("o-5", "order.placed", `{"sum": "1"}`),
		message("o-4", "order.placed", `{"total": "99.00"}`),
	)
	working, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- worker.Run(working, cfg, worker.Log(slog.New(slog.DiscardHandler)), worker.Publisher("kafka", kafka),
			worker.Consumer("kafka", func(sub broker.Subscription) (broker.Consumer, error) { return kafka.Consumer(sub) }))
	}()
	require.Eventually(t, func() bool {
		var settled int
		err := db.QueryRow(ctx, "select count(*) from inbox_events where status in ('completed', 'failed')").Scan(&settled)
		return err == nil && settled == 5
	}, time.Minute, 20*time.Millisecond)
	stop()
	require.NoError(t, <-done)

	require.Equal(t, []string{"o-1 12.50 m-o-1", "o-4 99.00 m-o-4"},
		texts(t, db, "select order_id || ' ' || total || ' ' || message_id from billing.invoices order by 1"))
	require.Equal(t, []string{"m-o-3 permanent 23514", "m-o-5 permanent P0001"}, texts(t, db,
		"select message_id || ' ' || error_class || ' ' || substring(last_error from 'SQLSTATE (.....)') from inbox_events where status = 'failed' order by 1"))
}

func texts(t *testing.T, db *pgxpool.Pool, query string) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), query)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}
