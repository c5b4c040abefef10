package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/workflows"
)

// An idle poller writes six events for each long poll, of which there are 96 a day:
// 576 events a day.
//
// trap: T4
func TestAnIdlePollerAddsAtMostSixHistoryEventsALongPoll(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	c := b.temporal()
	quiet := quietRows{Store: b.store(), polled: make(chan struct{})}
	b.startRelay(c, quiet, 300*time.Millisecond)
	const cycles = 5
	<-quiet.polled
	before := historyLength(t, c, b.poller(0))
	for range cycles {
		<-quiet.polled
	}
	grown := historyLength(t, c, b.poller(0)) - before
	t.Logf("%d history events in %d long polls", grown, cycles)
	require.LessOrEqual(t, grown, 6*cycles)
	require.GreaterOrEqual(t, grown, 3*cycles, "the poller was not at work")
}

// startRelay starts a worker and a poller with a long poll that is shorter than a
// configured one can be.
func (b *bed) startRelay(c client.Client, rows activities.Rows, longPoll time.Duration) {
	b.t.Helper()
	s := b.store()
	relay := &activities.Relay{
		Pipeline: pipeline.New(pipeline.Config{Name: pipelineName, Fetch: s, Commit: s, Handler: broker.NewSink(b.broker, broker.Raw{})}),
		Rows:     rows, Database: "db", Shards: 1, LongPoll: longPoll, Slice: time.Minute, Linger: time.Second,
	}
	queue := workflows.TaskQueue(b.prefix, pipelineName)
	w := sdkworker.New(c, queue, sdkworker.Options{})
	workflows.Register(w, relay, &activities.Events{})
	require.NoError(b.t, w.Start())
	b.t.Cleanup(w.Stop)
	_, err := c.ExecuteWorkflow(b.t.Context(), client.StartWorkflowOptions{ID: b.poller(0), TaskQueue: queue},
		workflows.PollerWorkflow, workflows.PollerState{Poller: activities.Poller{Database: "db"}, Pipeline: pipelineName})
	require.NoError(b.t, err)
}

// quietRows never wakes anybody, and says when it is waited for, if anybody listens.
type quietRows struct {
	*store.Store
	polled chan struct{}
}

func (r quietRows) Wake(ctx context.Context, _ []int) ([]int, error) {
	if r.polled != nil {
		select {
		case r.polled <- struct{}{}:
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func (r quietRows) Pause(context.Context, string, string) error { return nil }
func (r quietRows) Resume(context.Context, string) error        { return nil }

func historyLength(t *testing.T, c client.Client, id string) int {
	t.Helper()
	return len(historyOf(t, c, id, ""))
}

// An idle process asks the database at most twice a second.
//
// trap: T4
func TestAnIdleWorkerSendsAtMostTwoStatementsASecond(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.start().awaitReady()
	eventually(t, "every shard waits", func() bool {
		return ask[int](b, "select count(*) from omnibox.slots where lease_until > now()") == 0
	})
	// A connection shows when its latest statement began, so who looks often sees all.
	// (pg_stat_database is of no use: idle connections tell it what they did long after.)
	const span = 6 * time.Second
	type statement struct {
		Pid   int
		Began time.Time
	}
	seen := map[statement]bool{}
	look := func() (now time.Time) {
		rows, err := b.db.Query(t.Context(), `select pid, query_start, clock_timestamp() from pg_stat_activity
			where datname = current_database() and application_name = 'omnibox' and query_start is not null`)
		require.NoError(t, err)
		var s statement
		_, err = pgx.ForEachRow(rows, []any{&s.Pid, &s.Began, &now}, func() error { seen[s] = true; return nil })
		require.NoError(t, err)
		return now
	}
	began := look()
	before := len(seen)
	now := began
	eventually(t, "the time has passed", func() bool { now = look(); return now.Sub(began) >= span })
	rate := float64(len(seen)-before) / now.Sub(began).Seconds()
	t.Logf("%.2f statements a second", rate)
	require.LessOrEqual(t, rate, 2.0)
	require.Positive(t, rate, "nobody looks for what falls due")
}
