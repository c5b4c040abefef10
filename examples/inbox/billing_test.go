package main

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/store/migrate"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// box is a table that knows which messages are completed.
type box struct{ db *pgxpool.Pool }

func (b box) Complete(ctx context.Context, events []*omnibox.Event, work func(context.Context, pgx.Tx, []*omnibox.Event) error) error {
	return pgx.BeginFunc(ctx, b.db, func(tx pgx.Tx) error {
		var live []*omnibox.Event
		for _, e := range events {
			tag, err := tx.Exec(ctx, "insert into completed (id) values ($1) on conflict do nothing", e.ID)
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 1 {
				live = append(live, e)
			}
		}
		if len(live) == 0 {
			return nil
		}
		return work(ctx, tx, live)
	})
}

func placed(order, version, payload string) *omnibox.Event {
	return &omnibox.Event{
		ID: uuid.New(), Topic: "orders", Key: order, Type: "order.placed", SchemaVersion: version, CorrelationID: "c-" + order,
		Payload: json.RawMessage(payload), Origin: &omnibox.Origin{MessageID: "m-" + order, Source: "orders"},
	}
}

func TestEachOrderHasOneInvoiceAndOneAnnouncement(t *testing.T) {
	db, err := pgxpool.New(t.Context(), devtest.Database(t))
	require.NoError(t, err)
	defer db.Close()
	_, err = migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), schema+"; create table completed (id uuid primary key)")
	require.NoError(t, err)
	routes, err := handlers().Build(routed...)
	require.NoError(t, err)
	applier, err := inbox.NewApplier(routes, box{db}, inbox.Config{})
	require.NoError(t, err)

	messages := []*omnibox.Event{
		placed("o-1", "2", `{"total": "12.50"}`),
		placed("o-2", "1", `{"sum": "99.00"}`),
		placed("o-3", "2", `{"total": "0"}`),
		placed("o-4", "2", `{"total": "a lot"}`),
	}
	for range 2 { // the second time nothing is left to be done
		errs := applier.Handle(t.Context(), messages)
		require.NoError(t, errs[0])
		require.NoError(t, errs[1])
		require.EqualError(t, errs[2], "skipped: nothing to pay")
		require.EqualError(t, errs[3], "SQLSTATE 22P02: bad data")
	}
	// the announcement of an order that has an invoice goes with its transaction
	require.ErrorContains(t, applier.Handle(t.Context(), []*omnibox.Event{placed("o-1", "2", `{"total": "1"}`)})[0], "SQLSTATE 23505")

	rows, err := db.Query(t.Context(), `select i.order_id || ' ' || i.total || ' ' || e.correlation_id || ' ' || e.causation_id
		from invoices i full join outbox_events e on e.aggregate_id = i.id and e.partition_key = i.order_id
			and e.payload->>'order_id' = i.order_id and (e.payload->>'total')::numeric = i.total order by 1`)
	require.NoError(t, err)
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"o-1 12.50 c-o-1 m-o-1", "o-2 99.00 c-o-2 m-o-2"}, got)
}
