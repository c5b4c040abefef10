package pipeline_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/pipeline"
)

// wait waits for something due, for an hour.
func (b *bed) wait(t *testing.T, p *pipeline.Pipeline) (bool, error) {
	t.Helper()
	return p.WaitDue(t.Context(), pipeline.Wait{
		Slots: all(), For: time.Hour, Due: b.ports.Due,
		Wake: func(ctx context.Context) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		},
	})
}

// The broker is away for longer than all attempts would take. No event counts
// it, the drain ends, and nothing is tried until the broker is back.
//
// trap: 13
// trap: 14
func TestOutageCountsForNoEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		events := b.enqueue(1, 100, "a", "b")
		b.broker.SetDown(true)
		p := pipeline.New(b.cfg)
		began := time.Now()
		report, err := p.Drain(t.Context(), order())
		require.NoError(t, err)
		require.Equal(t, pipeline.Unreachable, report.Reason)
		require.Less(t, time.Since(began), 15*time.Second, "within the lease")
		report, err = p.Drain(t.Context(), order())
		require.NoError(t, err)
		require.Equal(t, pipeline.Unreachable, report.Reason, "the breaker is open: nothing is tried")
		b.untouched(t, events)
		require.Empty(t, b.table.Held())

		time.AfterFunc(50*time.Minute, func() { b.broker.SetDown(false) })
		due, err := b.wait(t, p)
		require.NoError(t, err)
		require.True(t, due)
		require.WithinRange(t, time.Now(), began.Add(50*time.Minute), began.Add(50*time.Minute+30*time.Second))
		report, err = p.Drain(t.Context(), order())
		require.NoError(t, err)
		require.Equal(t, int64(200), report.Completed)
		require.Equal(t, upTo(100), b.sent("a"), "each once")
		for _, e := range events {
			require.Zero(t, b.row(t, e.ID).Attempts)
		}
	})
}

// The broker goes away in the middle of a batch: what it has acknowledged is
// completed, the rest is as it was and in order.
//
// trap: 4
func TestOutageInTheMiddleOfABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.Batch = 10
		events := b.enqueue(1, 100, "a")
		var down atomic.Bool
		b.broker.SetRefuse(func(r broker.Record) error {
			if down.Store(down.Load() || numberIn(r.Value) == 35); down.Load() {
				return omnibox.Unreachable(errBad)
			}
			return nil
		})
		b.cfg.Handler = &probed{Handler: b.sink, probe: func() error {
			if down.Load() {
				return errBad
			}
			return nil
		}}
		require.Equal(t, pipeline.Unreachable, b.drain(t).Reason)
		require.Equal(t, upTo(34), b.sent("a"))
		b.untouched(t, events[34:])
		b.broker.SetRefuse(nil)
		b.drain(t)
		require.Equal(t, upTo(100), b.sent("a"))
	})
}

// What a step needs is down: it has no breaker, so the drain ends, and the next
// one tries.
//
// trap: 13
func TestStepThatCannotReachWhatItNeedsEndsTheDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		events := b.enqueue(1, 10, "a", "b")
		calls := 0
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			calls++
			if number(e) < 5 {
				return pipeline.Next, nil
			}
			return pipeline.Next, omnibox.Unreachable(errBad)
		})
		report := b.drain(t)
		require.Equal(t, pipeline.Unreachable, report.Reason)
		require.Equal(t, int64(8), report.Completed)
		require.Equal(t, 9, calls, "no storm")
		b.untouched(t, events[8:])
	})
}

func TestWaitDueHasOneProber(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.enqueue(1, 1, "a")
		var probing, probes atomic.Int32
		h := &probed{Handler: b.sink, probe: func() error {
			require.Equal(t, int32(1), probing.Add(1))
			time.Sleep(time.Second)
			probing.Add(-1)
			if probes.Add(1) < 20 {
				return errBad
			}
			return nil
		}}
		b.cfg.Handler = h
		p := pipeline.New(b.cfg)
		p.Breaker.Trip("test")
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				due, err := b.wait(t, p)
				require.NoError(t, err)
				require.True(t, due)
				require.Equal(t, int32(20), probes.Load())
			})
		}
		wg.Wait()
	})
}

type probed struct {
	pipeline.Handler
	probe func() error
}

func (h *probed) Probe(context.Context) error { return h.probe() }

func TestWaitDueEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		p, began := pipeline.New(b.cfg), time.Now()
		due, err := b.wait(t, p)
		require.NoError(t, err)
		require.False(t, due)
		require.Equal(t, time.Hour, time.Since(began))

		b.enqueue(1, 1, "a")
		b.table.Pause(true)
		time.AfterFunc(time.Minute, func() { b.table.Pause(false) })
		began = time.Now()
		due, err = b.wait(t, p)
		require.NoError(t, err)
		require.True(t, due)
		require.Equal(t, time.Minute, time.Since(began).Truncate(time.Minute), "nothing is due while paused")

		p.Breaker.Trip("test")
		b.broker.SetDown(true)
		stop := make(chan struct{})
		time.AfterFunc(time.Minute, func() { close(stop) })
		began = time.Now()
		due, err = p.WaitDue(t.Context(), pipeline.Wait{Slots: all(), For: time.Hour, Stop: stop, Due: b.ports.Due, Wake: asleep})
		require.NoError(t, err)
		require.False(t, due)
		require.Equal(t, time.Minute, time.Since(began))

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		_, err = p.WaitDue(ctx, pipeline.Wait{Slots: all(), For: time.Hour, Due: b.ports.Due, Wake: asleep})
		require.ErrorIs(t, err, context.Canceled)

		b.broker.SetDown(false)
		_, err = p.WaitDue(t.Context(), pipeline.Wait{Slots: all(), For: time.Hour, Wake: asleep, Due: func(context.Context, []int) ([]int, error) {
			return nil, errBad
		}})
		require.ErrorIs(t, err, errBad)
	})
}

// The database is away while outcomes wait to be settled: what was sent is not
// sent again if it comes back within the lease.
func TestSettleIsTriedUntilTheLeaseEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		down    time.Duration
		settled int
	}{"back in time": {8 * time.Second, 5}, "gone for longer": {time.Minute, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				b.enqueue(1, 5, "a")
				up := time.Now().Add(c.down)
				b.ports.commit = func([]omnibox.Outcome) error {
					if time.Now().Before(up) {
						return omnibox.Unreachable(errBad)
					}
					return nil
				}
				b.ports.extend = func() error { return b.ports.commit(nil) }
				report, err := pipeline.New(b.cfg).Drain(t.Context(), order())
				require.Equal(t, int64(c.settled), report.Completed)
				if c.settled == 0 {
					require.ErrorIs(t, err, errBad)
					require.Less(t, time.Since(up.Add(-c.down)), 15*time.Second)
					time.Sleep(time.Minute)
					b.drain(t)
				}
				require.Equal(t, upTo(5), firsts(b.sent("a")))
				require.Len(t, b.sent("a"), 10-c.settled)
			})
		})
	}
}

// The answer of the database is lost after it has written: the outcome stands,
// and nothing is sent twice.
//
// trap: 18
func TestAmbiguousSettleEndsTrue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.Batch = 4
		events := b.enqueue(1, 10, "a", "b")
		b.failing("b", 3, 1, errBad)
		b.failing("b", 4, 1, omnibox.Permanent(errBad))
		calls := 0
		b.ports.written = func(_ []omnibox.Outcome, err error) error {
			if calls++; calls%2 == 1 {
				return omnibox.Unreachable(errors.Join(errBad, err))
			}
			return err
		}
		for range 2 {
			b.drain(t)
			time.Sleep(time.Minute)
		}
		require.Equal(t, upTo(10), b.sent("a"))
		require.Equal(t, without(10, 4), b.sent("b"))
		require.Equal(t, 1, b.row(t, events[5].ID).Attempts)
		require.Len(t, b.table.DeadLetters(), 1)
	})
}

// A worker that had nothing to do since an outage takes over from one that
// died: it must not turn the work down because of what it remembers.
func TestDrainFindsOutThatTheOutageIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.enqueue(1, 10, "a")
		b.broker.SetDown(true)
		p := pipeline.New(b.cfg)
		report, err := p.Drain(t.Context(), order())
		require.NoError(t, err)
		require.Equal(t, pipeline.Unreachable, report.Reason)
		b.broker.SetDown(false)
		report, err = p.Drain(t.Context(), order())
		require.NoError(t, err)
		require.Equal(t, pipeline.Calm, report.Reason)
		require.Equal(t, int64(10), report.Completed)
	})
}
