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

func TestKeepsThePromisesOfAConsumer(t *testing.T) {
	t.Parallel()
	brokertest.RunConsumers(t, func(t *testing.T) brokertest.ConsumerFeatures {
		t.Helper()
		b := membroker.New()
		require.NoError(t, b.CreateTopic("t", 3))
		return brokertest.ConsumerFeatures{
			Consumer: func(t *testing.T, sub broker.Subscription) broker.Consumer {
				t.Helper()
				c, err := b.Consumer(sub)
				require.NoError(t, err)
				return c
			},
			Topic: "t", Missing: "missing",
			Create:  func(t *testing.T) { t.Helper(); require.NoError(t, b.CreateTopic("missing", 1)) },
			Append:  func(_ *testing.T, messages ...broker.Message) { b.Append(messages...) },
			SetDown: func(_ *testing.T, down bool) { b.SetDown(down) },
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
