package inbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/memstore"
)

// A pipeline with slow handlers: the calls that end early and the retries of some
// messages change neither the order of a key nor how often a handler succeeds, and
// quick keys are long done when the slow one is.
func TestAPipelineOfSlowHandlers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		got, calls, doneAt := map[string][]int{}, map[string]int{}, map[string]time.Duration{}
		began := time.Now()
		r := inbox.NewRouter()
		inbox.Handle(r, "orders", "order.placed", "1", func(_ context.Context, m inbox.Message[placed]) error {
			if m.Key == "slow" {
				time.Sleep(3 * time.Second)
			}
			mu.Lock()
			defer mu.Unlock()
			calls[m.Key]++
			if m.Key == "k2" && m.Payload.N == 3 && m.Attempt == 1 {
				return errBad
			}
			got[m.Key] = append(got[m.Key], m.Payload.N)
			doneAt[m.Key] = time.Since(began)
			return nil
		})
		routes, err := r.Build()
		require.NoError(t, err)
		a, err := inbox.NewApplier(routes, noTx{}, inbox.Config{})
		require.NoError(t, err)
		table := memstore.New()
		s := table.Open(store.Config{Owner: "a"})
		p := pipeline.New(pipeline.Config{
			Name: "billing", Fetch: s, Commit: s, Handler: a, Bounded: true, Retry: pipeline.Retry{Base: time.Second}, Log: slog.New(slog.DiscardHandler),
		})
		keys := []string{"slow", "k1", "k2", "k3"}
		var events []omnibox.Event
		for n := range 20 {
			for _, key := range keys {
				e := event(key, n+1)
				e.ID, e.MaxAttempts = omnibox.Event{}.ID, 0
				events = append(events, *e)
			}
		}
		written := table.Enqueue(events...)
		slots := make([]int, omnibox.Slots)
		for i := range slots {
			slots[i] = i
		}
		report, err := p.Drain(t.Context(), pipeline.Drain{
			Slots: slots, Slice: time.Hour, Linger: 10 * time.Second,
			Wake: func(ctx context.Context) ([]int, error) { <-ctx.Done(); return nil, ctx.Err() },
		})
		require.NoError(t, err)
		require.Equal(t, pipeline.Calm, report.Reason)
		for _, key := range keys {
			require.Equal(t, upTo(20), got[key])
			want := 20
			if key == "k2" {
				want = 21
			}
			require.Equal(t, want, calls[key], key)
		}
		require.Less(t, doneAt["k2"], 15*time.Second)
		require.GreaterOrEqual(t, doneAt["slow"], time.Minute)
		for _, e := range written {
			row, ok := table.Row(e.ID)
			require.True(t, ok)
			require.Equal(t, omnibox.StatusCompleted, row.Status)
		}
	})
}

// What an applier costs without a database.
func BenchmarkApplier(b *testing.B) {
	for _, batch := range []bool{false, true} {
		b.Run(fmt.Sprint("batch ", batch), func(b *testing.B) {
			r := inbox.NewRouter()
			if batch {
				inbox.HandleBatch(r, "orders", "order.placed", "1", func(context.Context, pgx.Tx, []inbox.Message[placed]) error { return nil })
			} else {
				inbox.HandleTx(r, "orders", "order.placed", "1", ignoreTx[placed])
			}
			routes, err := r.Build()
			require.NoError(b, err)
			a, err := inbox.NewApplier(routes, noTx{}, inbox.Config{})
			require.NoError(b, err)
			var events []*omnibox.Event
			for i := range 500 {
				e := event(fmt.Sprint(i%50), i)
				e.Payload = json.RawMessage(fmt.Sprintf(`{"n": %d}`, i))
				events = append(events, e)
			}
			for b.Loop() {
				a.Handle(b.Context(), events)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/event")
		})
	}
}
