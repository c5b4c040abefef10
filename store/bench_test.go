package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

const batch = 500

func BenchmarkFetch(b *testing.B) {
	bed := newBed(b)
	bed.fill(b, 100_000)
	c := claim(b, bed.open(b, store.Config{}))
	read := 0
	for b.Loop() {
		events, more, err := c.Fetch(b.Context(), batch)
		require.NoError(b, err)
		read += len(events)
		if !more {
			c.Rewind()
		}
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkFetchAndCommit(b *testing.B) {
	for _, onComplete := range []string{"keep", "delete"} {
		b.Run(onComplete, func(b *testing.B) {
			bed := newBed(b)
			bed.fill(b, 100_000)
			s := bed.open(b, store.Config{OnComplete: onComplete})
			c := claim(b, s)
			done := 0
			for b.Loop() {
				events, _, err := c.Fetch(b.Context(), batch)
				require.NoError(b, err)
				require.NoError(b, s.Commit(b.Context(), completed(events...)))
				done += len(events)
				if len(events) == 0 {
					b.StopTimer()
					bed.exec(b, "truncate outbox_events")
					bed.fill(b, 100_000)
					c.Rewind()
					b.StartTimer()
				}
			}
			b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
