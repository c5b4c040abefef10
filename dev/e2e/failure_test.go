package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

const maxAttempts = 4

// bad is an event of the key of which one fails, with fewer attempts than the
// default.
func bad(n int) omnibox.Event {
	e := event("bad", n)
	e.MaxAttempts = maxAttempts
	return e
}

// failing is a step in which event 1 of key "bad" fails as long as broken is set.
func failing(broken *atomic.Bool) *step {
	return &step{run: func(_ context.Context, e *omnibox.Event, n int) error {
		if e.Key == "bad" && n == 1 && broken.Load() {
			return errors.New("cannot be done")
		}
		return nil
	}}
}

// startFailing starts a worker with that step, broken.
func (b *bed) startFailing() *atomic.Bool {
	b.t.Helper()
	var broken atomic.Bool
	broken.Store(true)
	b.start(worker.Step(pipelineName, failing(&broken))).awaitReady()
	return &broken
}

// An event that fails keeps its key waiting, and no other; when it is dead the key
// goes on; when it is replayed it is delivered.
//
// trap: 3, 21, 39
func TestAFailingEventHoldsItsKeyUntilItIsDeadAndIsReplayed(t *testing.T) {
	t.Parallel()
	// in one batch, and in batches of which the next is read before the first is decided
	for _, batch := range []int{500, 1} {
		t.Run(fmt.Sprintf("batch %d", batch), func(t *testing.T) {
			t.Parallel()
			failingEventHoldsItsKey(t, batch)
		})
	}
}

func failingEventHoldsItsKey(t *testing.T, batch int) {
	t.Helper()
	b := newBed(t)
	b.outbox(func(o *config.Outbox) { o.Batch = batch })
	var broken atomic.Bool
	broken.Store(true)
	s := failing(&broken)
	b.start(worker.Step(pipelineName, s))
	b.enqueue(bad(1), bad(2), bad(3))
	for n := range 20 {
		b.enqueue(event(fmt.Sprintf("good%d", n), n))
	}
	records := b.awaitRecords(22)
	b.awaitFailed()
	require.Equal(t, series("bad", 2, 3), only("bad", records))
	require.Less(t, lastIndexOfOthers(records, "bad"), slices.Index(records, "bad/2"), "other keys did wait: %v", records)

	require.Len(t, s.of(1), maxAttempts, "calls")
	require.Equal(t, maxAttempts, ask[int](b, "select attempts_made from outbox_events where status = 'failed'"), "attempts in the row")
	require.Equal(t, maxAttempts, ask[int](b, "select attempts from omnibox.dead_letters"), "attempts in the dead letter")
	require.Equal(t, "transient", ask[string](b, "select error_class from omnibox.dead_letters where state = 'open'"))
	require.True(t, s.of(2)[0].After(s.of(1)[maxAttempts-1]), "what is behind waits until the end")

	broken.Store(false)
	done, err := b.store().Replay(t.Context(), store.ReplayParams{By: "test"})
	require.NoError(t, err)
	require.NotNil(t, done)
	require.Equal(t, []string{"bad/2", "bad/3", "bad/1"}, only("bad", b.awaitRecords(23)))
	b.awaitSettled()
	require.Zero(t, ask[int](b, "select count(*) from outbox_events where status <> 'completed'"))
	require.Equal(t, "replayed", ask[string](b, "select state from omnibox.dead_letters"))
}

// With behind_failure: skip later events overtake, in order among themselves.
//
// trap: 3
func TestWithSkipLaterEventsOvertakeAFailingOne(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.outbox(func(o *config.Outbox) {
		o.BehindFailure = "skip"
		o.Retry.Base = 2 * time.Second
		o.Retry.Max = 2 * time.Second
	})
	var broken atomic.Bool
	broken.Store(true)
	b.start(worker.Step(pipelineName, failing(&broken)))
	b.enqueue(bad(1), bad(2), bad(3))
	require.Equal(t, series("bad", 2, 3), b.awaitRecords(2))
	require.Equal(t, "pending", ask[string](b, "select status from outbox_events where payload->>'n' = '1'"), "it is still being tried")
	broken.Store(false)
	require.Equal(t, []string{"bad/2", "bad/3", "bad/1"}, b.awaitRecords(3))
}

// One event of a batch is refused for good: those of its key behind it come after
// its end, in order, and nobody else notices.
//
// trap: 4
func TestAnOversizedEventDoesNotLetItsKeyPassOutOfOrder(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.broker.SetRefuse(func(r broker.Record) error {
		if name(r) == "big/1" {
			return errors.New("message too large")
		}
		return nil
	})
	b.enqueue(event("big", 1), event("big", 2), event("other", 1), event("big", 3))
	b.start()
	require.Equal(t, series("big", 2, 3), only("big", b.awaitRecords(3)))
	b.awaitSettled()
	require.Equal(t, "permanent", ask[string](b, "select error_class from omnibox.dead_letters"))
	require.Equal(t, 1, ask[int](b, "select attempts from omnibox.dead_letters"))
	require.True(t, ask[bool](b, `select min(d.last_at) <= min(o.completed_at) from omnibox.dead_letters d, outbox_events o
		where o.partition_key = 'big' and o.status = 'completed'`), "the others came after it was dead")
}

// Several workers do not divide the backoff between them.
//
// trap: 16
func TestManyWorkersKeepTheGapsBetweenAttempts(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	const base = 400 * time.Millisecond
	b.outbox(func(o *config.Outbox) { o.Retry.Base = base; o.Retry.Max = time.Hour })
	var broken atomic.Bool
	broken.Store(true)
	s := failing(&broken)
	for range 4 {
		b.start(worker.Step(pipelineName, s))
	}
	b.enqueue(bad(1))
	b.awaitFailed()
	times := s.of(1)
	require.Len(t, times, maxAttempts)
	for i := 1; i < len(times); i++ {
		least := base << (i - 1) / 2 // with jitter: half to full
		require.GreaterOrEqual(t, times[i].Sub(times[i-1]), least, "gap %d", i)
	}
}

func (b *bed) awaitFailed() {
	b.t.Helper()
	eventually(b.t, "dead", func() bool {
		return ask[int](b, "select count(*) from outbox_events where status = 'failed'") == 1
	})
}

func lastIndexOfOthers(records []string, key string) int {
	for i, r := range slices.Backward(records) {
		if len(only(key, []string{r})) == 0 {
			return i
		}
	}
	return -1
}
