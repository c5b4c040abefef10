package membroker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/brokertest"
	"github.com/omnibox-go/omnibox/broker/membroker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestKeepsThePromisesOfAPublisher(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, func(*testing.T) brokertest.Features {
		b := membroker.New()
		b.SetRefuse(func(r broker.Record) error {
			if string(r.Value) == "refuse me" {
				return errors.New("refused")
			}
			return nil
		})
		return brokertest.Features{
			Publisher: b, Topic: "t",
			Read: func(*testing.T) []broker.Record { return b.Records("t") },
			Refused: func(key string) broker.Record {
				return broker.Record{Topic: "t", Key: []byte(key), Value: []byte("refuse me")}
			},
			SetDown:        func(_ *testing.T, down bool) { b.SetDown(down) },
			SetLoseAnswers: func(_ *testing.T, lose bool) { b.SetLoseAnswers(lose) },
		}
	})
}

func TestTakesItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := membroker.New()
		b.SetDelay(time.Minute)
		start := time.Now()
		require.NoError(t, b.Publish(t.Context(), []broker.Record{{Topic: "t"}})[0])
		require.Equal(t, time.Minute, time.Since(start))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, b.Publish(ctx, []broker.Record{{Topic: "t"}})[0])
		require.Len(t, b.Records("t"), 1)
	})
}

func TestWaitsForRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := membroker.New()
		done := make(chan error, 1)
		go func() { done <- b.Wait(t.Context(), "t", 2) }()
		for range 2 {
			synctest.Wait()
			require.Empty(t, done)
			b.Publish(t.Context(), []broker.Record{{Topic: "t"}})
		}
		require.NoError(t, <-done)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, b.Wait(ctx, "t", 3), context.DeadlineExceeded)
	})
}
