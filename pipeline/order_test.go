package pipeline_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
)

func TestDrainDeliversInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.Batch = 7
		b.enqueue(1, 100, "a", "b", "c")
		report := b.drain(t)
		require.Equal(t, pipeline.Calm, report.Reason)
		require.Equal(t, pipeline.Counts{Fetched: 300, Completed: 300}, report.Counts)
		for _, key := range []string{"a", "b", "c"} {
			require.Equal(t, upTo(100), b.sent(key))
		}
		b.untouched(t, nil)
	})
}

// Each way not to succeed, in the middle of a batch and with the next batches of
// the key read already.
//
// trap: 3
// trap: 4
func TestWhatFailsKeepsWhatIsBehindWaiting(t *testing.T) {
	t.Parallel()
	skipped := func(b *bed) { b.failing("a", 3, 1, omnibox.Skip("not wanted")) }
	for name, c := range map[string]struct {
		fail     func(b *bed)
		sent     []int // of the key at last
		first    []int // of the key before the retry is due
		attempts int
	}{
		"a step fails":                {func(b *bed) { b.failing("a", 3, 1, errBad) }, upTo(20), upTo(2), 1},
		"a step fails three times":    {func(b *bed) { b.failing("a", 3, 3, errBad) }, upTo(20), upTo(2), 3},
		"a step asks for a retry":     {func(b *bed) { b.failing("a", 3, 1, omnibox.RetryAt(time.Now().Add(time.Hour))) }, upTo(20), upTo(2), 0},
		"a step fails for good":       {func(b *bed) { b.failing("a", 3, 1, omnibox.Permanent(errBad)) }, without(20, 3), without(20, 3), 6},
		"a step skips":                {skipped, without(20, 3), without(20, 3), 0},
		"the broker refuses":          {func(b *bed) { b.refuse(3, omnibox.Transient(errBad)) }, upTo(20), upTo(2), 1},
		"the broker refuses for good": {func(b *bed) { b.refuse(3, errBad) }, without(20, 3), without(20, 3), 6},
	} {
		for _, batch := range []int{1, 2, 5, 500} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBed()

					b.cfg.Batch = batch
					events := b.enqueue(1, 20, "a", "b")
					c.fail(b)
					b.drain(t)
					require.Equal(t, c.first, b.sent("a"), "before the retry")
					require.Equal(t, upTo(20), b.sent("b"), "other keys flow")
					time.Sleep(2 * time.Hour) // virtual
					for range 3 {
						b.drain(t)
						time.Sleep(time.Minute)
					}
					require.Equal(t, c.sent, b.sent("a"))
					require.Equal(t, c.attempts, b.row(t, events[4].ID).Attempts)
					require.Empty(t, b.table.Held())
				})
			})
		}
	}
}

func without(n, out int) []int {
	var rest []int
	for _, i := range upTo(n) {
		if i != out {
			rest = append(rest, i)
		}
	}
	return rest
}

// trap: 3
func TestSkipLetsLaterEventsOvertakeInOrder(t *testing.T) {
	t.Parallel()
	for _, batch := range []int{1, 2, 5, 500} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBedOn(store.Config{Owner: "a", BehindFailure: "skip"})
				b.cfg.Batch = batch
				b.enqueue(1, 20, "a")
				b.failing("a", 3, 1, errBad)
				b.drain(t)
				require.Equal(t, without(20, 3), b.sent("a"))
				time.Sleep(time.Minute)
				b.drain(t)
				require.Equal(t, append(without(20, 3), 3), b.sent("a"))
			})
		})
	}
}

// An event that fails in a step while one before it, of its key, fails in the
// handler has not had its turn: it counts nothing and holds nothing.
//
// trap: 4
func TestStepFailureBehindAHandlerFailureDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		events := b.enqueue(1, 4, "a")
		b.failing("a", 2, 1, errBad)
		b.refuse(1, omnibox.Transient(errBad))
		b.drain(t)
		require.Equal(t, 1, b.row(t, events[0].ID).Attempts)
		require.Equal(t, 0, b.row(t, events[1].ID).Attempts)
		time.Sleep(time.Minute)
		b.drain(t)
		require.Equal(t, upTo(4), b.sent("a"))
	})
}

// While settling lags behind by far, scans from the start find some events of
// a failed key and pass over others. The key gets on, and in order.
//
// trap: 4
func TestSlowSettlingNeitherReordersNorStarves(t *testing.T) {
	t.Parallel()
	for _, batch := range []int{1, 2, 3} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				b.cfg.Batch = batch
				b.ports.commit = func([]omnibox.Outcome) error { time.Sleep(1300 * time.Millisecond); return nil }
				b.enqueue(1, 8, "a")
				b.refuse(1, errBad)
				began := time.Now()
				b.drain(t)
				require.Equal(t, without(8, 1), b.sent("a"))
				require.Less(t, time.Since(began), time.Minute)
			})
		})
	}
}

// A commit that fails once is tried again, with what is behind it decided but
// not settled.
func TestCommitFailingOnceKeepsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.Batch = 2
		commits := 0
		b.ports.commit = func([]omnibox.Outcome) error {
			if commits++; commits%3 == 1 {
				return omnibox.Unreachable(errBad)
			}
			return nil
		}
		b.enqueue(1, 20, "a")
		b.failing("a", 7, 1, omnibox.Permanent(errBad))
		b.drain(t)
		require.Equal(t, without(20, 7), b.sent("a"), "each once")
	})
}

// trap: 1
func TestLateCommitIsDeliveredUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.Batch = 10
		late := b.table.Begin()
		late.Enqueue(event("a", 0)) // behind the place that reading has reached
		b.enqueue(1, 1000, "a")
		b.broker.SetDelay(100 * time.Millisecond) // 10 s of work
		time.AfterFunc(2*time.Second, late.Commit)
		b.drain(t)
		sent := b.sent("a")
		at := slices.Index(sent, 0)
		require.InDelta(t, 250, at, 100, "after 2 s and within the rescan")
		require.Equal(t, upTo(1000), slices.Delete(sent, at, at+1))
	})
}

// trap: 7
func TestScheduledEventsTakeTheirPlaceWhenDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		e := event("a", 2)
		e.ScheduledAt = time.Now().Add(time.Minute)
		b.enqueue(1, 1, "a")
		b.table.Enqueue(e)
		b.enqueue(3, 4, "a")
		b.drain(t)
		require.Equal(t, []int{1, 3, 4}, b.sent("a"))
		time.Sleep(time.Minute)
		b.drain(t)
		require.Equal(t, []int{1, 3, 4, 2}, b.sent("a"))
	})
}

// The lease is lost while a batch is in the steps, and others are read already:
// the old owner sends nothing that the new one has not had before.
//
// trap: 11
func TestLostLeaseEndsTheWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.Batch = 2
		b.enqueue(1, 6, "a")
		stalled := make(chan struct{})
		var woken atomic.Bool
		b.ports.extend = func() error { // the first owner's process stops for two leases
			if !woken.Load() {
				time.Sleep(30 * time.Second)
			}
			return nil
		}
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			if number(e) == 3 && !woken.Load() {
				close(stalled)
				time.Sleep(29 * time.Second)
				woken.Store(true)
			}
			return pipeline.Next, nil
		})
		second := *b
		second.cfg.Fetch, second.cfg.Commit, second.cfg.Steps = b.table.Open(store.Config{Owner: "b"}), b.table.Open(store.Config{Owner: "b"}), nil
		done := make(chan pipeline.Report, 1)
		go func() {
			report, _ := pipeline.New(b.cfg).Drain(t.Context(), order())
			done <- report
		}()
		<-stalled
		time.Sleep(16 * time.Second)
		second.refuse(3, omnibox.Transient(errBad)) // it holds the key when the first owner wakes
		second.drain(t)
		require.Equal(t, pipeline.LeaseLost, (<-done).Reason)
		require.Equal(t, upTo(2), b.sent("a"))
		time.Sleep(time.Minute)
		second.drain(t)
		require.Equal(t, upTo(6), b.sent("a"))
	})
}

// Extend finds that the slots were lost and takes them again: what was read
// before must not be sent under the new deadline.
//
// trap: 10
func TestNewDeadlineDoesNotCoverWhatWasReadBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		events := b.enqueue(1, 2, "a")
		b.ports.extend = func() error { // another owner has the slots for a moment
			b.table.Expire()
			c, err := b.table.Open(store.Config{Owner: "b"}).Claim(t.Context(), all())
			if err != nil {
				return err
			}
			return c.Release(t.Context())
		}
		b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) {
			time.Sleep(6 * time.Second) // an extend comes in between
			return pipeline.Next, nil
		})
		require.Equal(t, pipeline.LeaseLost, b.drain(t).Reason)
		require.Empty(t, b.sent("a"))
		b.untouched(t, events)
	})
}

// When the lease cannot be extended, nothing is begun once it is over, not even a
// step.
//
// trap: 9
func TestNothingBeginsAfterTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()
		b.cfg.Batch = 1
		b.ports.extend = func() error { return omnibox.Unreachable(errBad) }
		began := time.Now()
		b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) {
			require.Less(t, time.Since(began), 12*time.Second, "the lease of 15 s less its margin")
			return pipeline.Next, nil
		})
		b.cfg.Handler = handleFunc(func(ctx context.Context, events []*omnibox.Event) []error {
			errs := b.sink.Handle(ctx, events)
			time.Sleep(6500 * time.Millisecond)
			return errs
		})
		events := b.enqueue(1, 10, "a")
		require.Equal(t, pipeline.LeaseLost, b.drain(t).Reason)
		require.Equal(t, upTo(2), b.sent("a"))
		b.table.Expire()
		b.untouched(t, events[2:])
	})
}
