package inbox_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/inbox"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// The versions of a payload.
type (
	placedV1 struct{ Sum int }
	placedV2 struct{ Total int }
	placedV3 struct {
		Total    int
		Currency string
	}
)

func v1to2(v placedV1) (placedV2, error) { return placedV2{Total: v.Sum}, nil }
func v2to3(v placedV2) (placedV3, error) { return placedV3{Total: v.Total, Currency: "EUR"}, nil }

// stored is a message of source "orders" and type "order.placed".
func stored(version, payload string) *inbox.Stored {
	return &inbox.Stored{
		Meta: inbox.Meta{
			ID: uuid.MustParse("7f3c2c1e-6f1a-4f0e-9d3a-0a1b2c3d4e5f"), MessageID: "m-1",
			Source: "orders", Type: "order.placed", SchemaVersion: version,
			Topic: "shop", Partition: 3, Offset: 42, Key: "o-1", Headers: map[string]string{"tenant": "a"},
			TraceID: "t-1", CorrelationID: "c-1", CausationID: "b-1",
			OccurredAt: time.Unix(1, 0), CreatedAt: time.Unix(2, 0),
		},
		Payload: json.RawMessage(payload),
	}
}

// seen remembers the last message.
type seen[T any] struct{ m inbox.Message[T] }

func (s *seen[T]) handle(_ context.Context, m inbox.Message[T]) error {
	s.m = m
	return nil
}

func ignore[T any](context.Context, inbox.Message[T]) error { return nil }

func ignoreTx[T any](context.Context, pgx.Tx, inbox.Message[T]) error { return nil }

// run takes a message through a router, as a pipeline does.
func run(t *testing.T, r *inbox.Router, m *inbox.Stored) error {
	t.Helper()
	routes, err := r.Build()
	require.NoError(t, err)
	call, err := routes.Find(m)
	if err != nil {
		return err
	}
	require.False(t, call.InTx)
	return call.Run(t.Context(), nil)
}
