package pipeline_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/memstore"
)

func TestDrainEndsWhenNothingWasDueForLinger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		go func() {
			time.Sleep(8 * time.Second)
			b.enqueue(1, 1, "a")
		}()
		began := time.Now()
		report := b.drain(t, func(d *pipeline.Drain) { d.Linger = 10 * time.Second })
		require.Equal(t, pipeline.Calm, report.Reason)
		require.Equal(t, int64(1), report.Completed)
		require.WithinRange(t, time.Now(), began.Add(18*time.Second), began.Add(19500*time.Millisecond))
		b.untouched(t, nil)
	})
}

func TestDrainLooksWhenWoken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		wake, began := make(chan struct{}), time.Now()
		sent, after := make(chan error, 1), make(chan time.Duration, 1)
		go func() {
			time.Sleep(3100 * time.Millisecond)
			b.enqueue(1, 1, "a")
			wake <- struct{}{}
			sent <- b.broker.Wait(t.Context(), topic, 1)
			after <- time.Since(began)
		}()
		b.drain(t, func(d *pipeline.Drain) {
			d.Linger = 10 * time.Second
			d.Wake = func(ctx context.Context) ([]int, error) {
				select {
				case <-wake:
					return []int{memstore.SlotOf(omnibox.OrderKey{Topic: topic, Key: "a"})}, nil
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
			}
		})
		require.NoError(t, <-sent)
		require.Equal(t, 3100*time.Millisecond, <-after)
	})
}

func TestDrainEndsWithItsSlice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.Batch = 10
		b.broker.SetDelay(time.Second)
		events := b.enqueue(1, 1000, "a")
		began := time.Now()
		report := b.drain(t, func(d *pipeline.Drain) { d.Slice = 20*time.Second + time.Millisecond })
		require.Equal(t, pipeline.SliceOver, report.Reason)
		require.Less(t, time.Since(began), 22*time.Second, "what is in hand is settled, no more")
		require.Equal(t, int64(210), report.Completed)
		require.Equal(t, report.Fetched, report.Completed+report.Released)
		b.untouched(t, events[210:])
	})
}

// The drain stops while a step takes longer than the lease: it still holds the
// slots when the step is done, and what it did counts.
func TestDrainKeepsTheLeaseUntilWhatIsInHandIsSettled(t *testing.T) {
	t.Parallel()
	for reason, end := range map[pipeline.Reason]func(d *pipeline.Drain, stop <-chan struct{}){
		pipeline.SliceOver: func(d *pipeline.Drain, _ <-chan struct{}) { d.Slice = time.Second },
		pipeline.Stopped:   func(d *pipeline.Drain, stop <-chan struct{}) { d.Stop = stop },
	} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				stop := make(chan struct{})
				time.AfterFunc(time.Second, func() { close(stop) })
				b.cfg.StepTimeout = time.Minute
				b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) {
					time.Sleep(50 * time.Second)
					return pipeline.Next, nil
				})
				b.ports.commit = func([]omnibox.Outcome) error { time.Sleep(10 * time.Second); return nil }
				events := b.enqueue(1, 2, "a")
				report := b.drain(t, func(d *pipeline.Drain) { end(d, stop) })
				require.Equal(t, reason, report.Reason)
				require.Equal(t, []int{1}, b.sent("a"))
				b.untouched(t, events[1:])
			})
		})
	}
}

func TestStepStopEndsTheBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		events := b.enqueue(1, 5, "a")
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			if number(e) == 3 {
				return pipeline.Stop, nil
			}
			return pipeline.Next, nil
		})
		report := b.drain(t)
		require.Equal(t, pipeline.Report{Reason: pipeline.StepStop, Counts: pipeline.Counts{Fetched: 5, Completed: 2, Released: 3}}, report)
		b.untouched(t, events[2:])
	})
}

func TestPausedPipelineIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		events := b.enqueue(1, 3, "a")
		b.table.Pause(true)
		require.Equal(t, pipeline.Report{Reason: pipeline.Paused}, b.drain(t))
		b.table.Pause(false)
		b.untouched(t, events)
	})
}

func TestPauseEndsTheDrain(t *testing.T) {
	t.Parallel()
	for name, pauseAt := range map[string]int{"while reading": 50, "while all has been read": 900} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				b.cfg.Batch = 300
				b.enqueue(1, 1000, "a")
				b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
					if number(e) == pauseAt {
						b.table.Pause(true)
					}
					time.Sleep(10 * time.Millisecond)
					return pipeline.Next, nil
				})
				report := b.drain(t)
				require.Equal(t, pipeline.Paused, report.Reason)
				require.Equal(t, report.Fetched, report.Completed+report.Released)
				b.table.Pause(false)
				require.Equal(t, upTo(int(report.Completed)), b.sent("a"))
				b.cfg.Steps = nil
				b.drain(t)
				require.Equal(t, upTo(1000), b.sent("a"))
			})
		})
	}
}

func TestSlotsOfOthersAreTakenWhenTheyAreFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.enqueue(1, 1, "a", "b", "c", "d")
		other, err := b.table.Open(store.Config{Owner: "b"}).Claim(t.Context(), all()[:60])
		require.NoError(t, err)
		began, sent := time.Now(), make(chan error, 1)
		time.AfterFunc(7500*time.Millisecond, func() { _ = other.Release(t.Context()) })
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second) // they are asked for every second
		defer cancel()
		go func() { sent <- b.broker.Wait(ctx, topic, 4) }()
		report := b.drain(t)
		require.Equal(t, pipeline.Calm, report.Reason)
		require.Equal(t, int64(4), report.Completed)
		require.NoError(t, <-sent)
		require.Less(t, time.Since(began), 12*time.Second)
	})
}

// An end in the middle of anything costs no event an attempt, and leaves all
// that was not delivered to the next owner, at once.
//
// trap: 17
func TestStopAtEveryAwaitPoint(t *testing.T) {
	t.Parallel()
	points := map[string]func(b *bed, now func()){
		"claim":   func(_ *bed, now func()) { now() },
		"fetch":   func(b *bed, now func()) { b.ports.fetch = func(omnibox.Claim) { now() } },
		"fetched": func(b *bed, now func()) { b.ports.after = func([]omnibox.Event) { now() } },
		"extend":  func(b *bed, now func()) { b.ports.extend = func() error { now(); return nil } },
		"mark":    func(b *bed, now func()) { b.ports.mark = func([]*omnibox.Event) { now() } },
		"step": func(b *bed, now func()) {
			b.step(func(ctx context.Context, _ *omnibox.Event) (pipeline.Result, error) {
				now()
				return pipeline.Next, ctx.Err()
			})
		},
		"waiting step": func(b *bed, now func()) {
			b.cfg.Steps = append(b.cfg.Steps, pipeline.RateLimit(1, 1))
			b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) { now(); return pipeline.Next, nil })
		},
		"handler": func(b *bed, now func()) { b.cfg.Handler = duringHandle{b.cfg.Handler, now} },
		"commit":  func(b *bed, now func()) { b.ports.commit = func([]omnibox.Outcome) error { now(); return nil } },
		"committed": func(b *bed, now func()) {
			b.ports.written = func(_ []omnibox.Outcome, err error) error { now(); return err }
		},
		"idle": func(_ *bed, now func()) { time.AfterFunc(40*time.Second, now) },
	}
	for name, hook := range points {
		for _, nth := range []int32{1, 2, 5} {
			for _, how := range []string{"stops", "is cancelled", "ends"} {
				t.Run(name+" "+how, func(t *testing.T) { stopAt(t, hook, nth, how) })
			}
		}
	}
}

func stopAt(t *testing.T, hook func(b *bed, now func()), nth int32, how string) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.Batch = 3
		events := b.enqueue(1, 20, "a", "b")
		b.suspect(t) // so that there is something to mark
		b.broker.SetDelay(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stop, ending := make(chan struct{}), make(chan struct{})
		b.cfg.Ending = ending
		var calls atomic.Int32
		var once sync.Once
		hook(b, func() {
			if calls.Add(1) < nth {
				return
			}
			once.Do(func() {
				switch how {
				case "stops":
					close(stop)
				case "is cancelled":
					cancel()
				case "ends":
					close(ending)
				}
			})
			time.Sleep(time.Millisecond) // the others notice first
		})
		d := order()
		d.Stop, d.Slice, d.Linger = stop, time.Minute, 30*time.Second
		report, err := pipeline.New(b.cfg).Drain(ctx, d)
		if ctx.Err() != nil && report.Reason == "" {
			require.ErrorIs(t, err, context.Canceled)
		} else {
			require.NoError(t, err)
		}
		b.ended(t, events)
		time.Sleep(time.Minute) // steps that were given up on end too
	})
}

// ended checks that every event is either delivered and completed, or untouched.
func (b *bed) ended(t *testing.T, events []omnibox.Event) {
	t.Helper()
	var left []omnibox.Event
	done := map[string]int{}
	for _, e := range events {
		if b.row(t, e.ID).Status == omnibox.StatusCompleted {
			done[e.Key]++
		} else {
			left = append(left, e)
		}
	}
	for _, key := range []string{"a", "b"} {
		require.Equal(t, upTo(done[key]), upTo(len(b.sent(key))), "what was sent is settled")
	}
	b.untouched(t, left)
}

// suspect leaves the slots as an owner that died would.
func (b *bed) suspect(t *testing.T) {
	t.Helper()
	_, err := b.table.Open(store.Config{Owner: "dead"}).Claim(t.Context(), all())
	require.NoError(t, err)
	b.table.Expire()
}

// duringHandle calls now while the handler works.
type duringHandle struct {
	pipeline.Handler
	now func()
}

func (h duringHandle) Handle(ctx context.Context, events []*omnibox.Event) []error {
	done := make(chan []error)
	go func() { done <- h.Handler.Handle(ctx, events) }()
	time.Sleep(10 * time.Millisecond)
	h.now()
	return <-done
}
