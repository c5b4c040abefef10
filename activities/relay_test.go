package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/membroker"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/memstore"
)

// bed is a relay over a table and a broker in memory.
type bed struct {
	*activities.Relay
	table  *memstore.Table
	broker *membroker.Broker
	env    *testsuite.TestActivityEnvironment
	stop   chan struct{}
}

var poller = activities.Poller{Database: "db"}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{table: memstore.New(), broker: membroker.New(), stop: make(chan struct{})}
	s := b.table.Open(store.Config{Owner: "w1"})
	b.Relay = &activities.Relay{
		Pipeline: pipeline.New(pipeline.Config{
			Name: "orders", Fetch: s, Commit: s, Handler: broker.NewSink(b.broker, broker.Raw{}),
		}),
		Rows: memRows{Store: s, table: b.table}, Database: "db", Shards: 1,
		LongPoll: 50 * time.Millisecond, Slice: time.Minute, Linger: time.Millisecond,
	}
	var suite testsuite.WorkflowTestSuite
	b.env = suite.NewTestActivityEnvironment()
	b.env.SetWorkerStopChannel(b.stop)
	b.env.SetWorkerOptions(worker.Options{})
	b.env.RegisterActivityWithOptions(b.Fetch, activity.RegisterOptions{Name: "Fetch"})
	b.env.RegisterActivityWithOptions(b.Drain, activity.RegisterOptions{Name: "Drain"})
	b.env.RegisterActivityWithOptions(b.SetPaused, activity.RegisterOptions{Name: "SetPaused"})
	return b
}

// memRows adds to a store in memory what the worker adds to a real one.
type memRows struct {
	*memstore.Store
	table *memstore.Table
}

func (memRows) Wake(ctx context.Context, _ []int) ([]int, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func (r memRows) Pause(context.Context, string, string) error { r.table.Pause(true); return nil }
func (r memRows) Resume(context.Context, string) error        { r.table.Pause(false); return nil }

func (b *bed) enqueue(n int) {
	for range n {
		b.table.Enqueue(omnibox.Event{
			ID: uuid.New(), Topic: "orders", Key: "k", Type: "order.placed", Payload: json.RawMessage(`{"n":1}`), MaxAttempts: 6,
		})
	}
}

func run[Out any](t *testing.T, b *bed, name string, in any) (Out, error) {
	t.Helper()
	var out Out
	v, err := b.env.ExecuteActivity(name, in)
	if err == nil {
		require.NoError(t, v.Get(&out))
	}
	return out, err
}

func TestFetchFindsWhatIsDue(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	out, err := run[activities.FetchOut](t, b, "Fetch", activities.FetchIn{Poller: poller})
	require.NoError(t, err)
	require.False(t, out.Due, "nothing came within the long poll")
	b.enqueue(1)
	out, err = run[activities.FetchOut](t, b, "Fetch", activities.FetchIn{Poller: poller})
	require.NoError(t, err)
	require.True(t, out.Due)
	require.Greater(t, out.Drain, b.Slice, "an activity lasts longer than the slice it is given")
}

func TestFetchReturnsWhenTheWorkerStops(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.LongPoll = time.Hour
	close(b.stop)
	out, err := run[activities.FetchOut](t, b, "Fetch", activities.FetchIn{Poller: poller})
	require.NoError(t, err)
	require.False(t, out.Due)
}

func TestShardsThatAreNoMoreAreGone(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	out, err := run[activities.FetchOut](t, b, "Fetch", activities.FetchIn{Poller: activities.Poller{Shard: 1, Database: "db"}})
	require.NoError(t, err)
	require.True(t, out.Gone)
}

// A drain that began on a worker with more shards has nothing to do.
func TestADrainOfAShardThatIsNoMoreEnds(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.enqueue(1)
	out, err := run[activities.DrainOut](t, b, "Drain", activities.DrainIn{Poller: activities.Poller{Shard: 1, Database: "db"}})
	require.NoError(t, err)
	require.Equal(t, pipeline.Calm, out.Reason)
	require.Empty(t, b.broker.Records("orders"))
}

func TestDrainDelivers(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.enqueue(1200)
	out, err := run[activities.DrainOut](t, b, "Drain", activities.DrainIn{Poller: poller})
	require.NoError(t, err)
	require.Equal(t, pipeline.Calm, out.Reason)
	require.Equal(t, int64(1200), out.Completed)
	require.Len(t, b.broker.Records("orders"), 1200)
}

func TestPauseIsWrittenAndRead(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.enqueue(1)
	_, err := run[activities.SetPausedOut](t, b, "SetPaused", activities.SetPausedIn{Poller: poller, Paused: true, By: "ops"})
	require.NoError(t, err)
	out, err := run[activities.DrainOut](t, b, "Drain", activities.DrainIn{Poller: poller})
	require.NoError(t, err)
	require.Equal(t, pipeline.Paused, out.Reason)
	_, err = run[activities.SetPausedOut](t, b, "SetPaused", activities.SetPausedIn{Poller: poller})
	require.NoError(t, err)
	out, err = run[activities.DrainOut](t, b, "Drain", activities.DrainIn{Poller: poller})
	require.NoError(t, err)
	require.Equal(t, int64(1), out.Completed)
}

func TestAPollerOfAnotherDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.enqueue(1)
	other := activities.Poller{Database: "elsewhere"}
	for name, in := range map[string]any{
		"Fetch": activities.FetchIn{Poller: other}, "Drain": activities.DrainIn{Poller: other}, "SetPaused": activities.SetPausedIn{Poller: other},
	} {
		_, err := b.env.ExecuteActivity(name, in)
		app, ok := errors.AsType[*temporal.ApplicationError](err)
		require.True(t, ok, name)
		require.Equal(t, activities.TypeWrongDatabase, app.Type())
		require.ErrorContains(t, err, "temporal.id_prefix")
		require.False(t, app.NonRetryable(), "a worker of the right database may get the next attempt")
	}
	require.Empty(t, b.broker.Records("orders"))
}

func TestShardsShareTheSlots(t *testing.T) {
	t.Parallel()
	for shards := 1; shards <= omnibox.Slots; shards++ {
		var all []int
		for shard := range shards {
			slots := activities.ShardSlots(shard, shards)
			require.NotEmpty(t, slots)
			all = append(all, slots...)
		}
		slices.Sort(all)
		require.Len(t, all, omnibox.Slots)
		require.Len(t, slices.Compact(all), omnibox.Slots)
		require.Empty(t, activities.ShardSlots(shards, shards))
	}
}
