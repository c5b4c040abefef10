package store_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
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

// BenchmarkBareLoop is what the others are compared with: read 500, complete
// them with one update, and nothing that makes it safe.
func BenchmarkBareLoop(b *testing.B) {
	bed := newBed(b)
	bed.fill(b, 100_000)
	bed.exec(b, "create index bare on outbox_events (seq) where status = 'pending'")
	done, after := 0, int64(0)
	for b.Loop() {
		rows, err := bed.db.Query(b.Context(), `select id, seq, topic, partition_key, payload::text, headers::text
			from outbox_events where status = 'pending' and seq > $1 order by seq limit 500`, after)
		require.NoError(b, err)
		var ids [][16]byte
		var id [16]byte
		var topic, key, payload, headers string
		_, err = pgx.ForEachRow(rows, []any{&id, &after, &topic, &key, &payload, &headers}, func() error {
			ids = append(ids, id)
			return nil
		})
		require.NoError(b, err)
		_, err = bed.db.Exec(b.Context(), `update outbox_events set status = 'completed', completed_at = now(), updated_at = now()
			where id = any ($1) and status = 'pending'`, ids)
		require.NoError(b, err)
		done += len(ids)
		if len(ids) == 0 {
			b.StopTimer()
			bed.exec(b, "truncate outbox_events")
			bed.fill(b, 100_000)
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "events/s")
}
