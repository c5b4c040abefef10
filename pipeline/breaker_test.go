package pipeline_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/pipeline"
)

var quiet = slog.New(slog.DiscardHandler)

func TestBreakerStaysOpenUntilAProbeSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var probes atomic.Int32
		up := time.Now().Add(5 * time.Minute)
		b := pipeline.NewBreaker("kafka", func(context.Context) error {
			probes.Add(1)
			if time.Now().Before(up) {
				return errors.New("connection refused")
			}
			return nil
		}, quiet)
		require.NoError(t, b.Await(t.Context()), "a closed breaker keeps nobody waiting")
		require.Zero(t, probes.Load())

		b.Trip("connection refused")
		b.Trip("connection refused") // of another batch: no second outage
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				require.NoError(t, b.Await(t.Context()))
				require.False(t, time.Now().Before(up))
			})
		}
		wg.Wait()
		_, open := b.Open()
		require.False(t, open)
		// one prober whatever the number that wait: half a second doubling to five
		require.Less(t, probes.Load(), int32(80))
		require.Greater(t, probes.Load(), int32(50))
	})
}

func TestBreakerAwaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := pipeline.NewBreaker("kafka", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, quiet)
		b.Trip("no answer")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, b.Await(ctx), context.DeadlineExceeded)
		_, open := b.Open()
		require.True(t, open)
	})
}
