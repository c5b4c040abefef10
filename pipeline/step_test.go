package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

func TestStepThatTakesTooLongIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(ctx context.Context, forever <-chan struct{}) error{
		"ends with its context":    func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return ctx.Err() },
		"calls it by another name": func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return omnibox.Permanent(errBad) },
		"never returns":            func(_ context.Context, forever <-chan struct{}) error { <-forever; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				forever := make(chan struct{})
				defer close(forever)
				b.cfg.StepTimeout = 3 * time.Second
				b.step(func(ctx context.Context, e *omnibox.Event) (pipeline.Result, error) {
					if e.Key == "a" {
						return pipeline.Next, run(ctx, forever)
					}
					return pipeline.Next, nil
				})
				events := b.enqueue(1, 1, "a", "b")
				began := time.Now()
				b.drain(t)
				require.Less(t, time.Since(began), 6*time.Second)
				require.Equal(t, []int{1}, b.sent("b"), "other events go on")
				r := b.row(t, events[0].ID)
				require.Equal(t, 1, r.Attempts)
				require.Equal(t, "step user timed out after 3s", r.LastError)
				require.Equal(t, omnibox.ClassTransient, r.Class)
			})
		})
	}
}

func TestStepHasItsOwnTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.StepTimeout = time.Second
		b.cfg.Steps = []pipeline.Step{stepFunc{pipeline.Spec{Name: "slow", Timeout: 20 * time.Second}, func(context.Context, *omnibox.Event) (pipeline.Result, error) {
			time.Sleep(19 * time.Second)
			return pipeline.Next, nil
		}}}
		b.enqueue(1, 2, "a")
		b.drain(t)
		require.Equal(t, upTo(2), b.sent("a"))
	})
}

const secret = "4929-1234-5678-9012"

// A panic is one event's failure, and what was thrown is not written anywhere.
func TestPanicOfAStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		var log bytes.Buffer
		b.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			if e.Key == "a" {
				panic(fmt.Sprintf("cannot use %s", e.Payload))
			}
			return pipeline.Next, nil
		})
		events := b.table.Enqueue(
			omnibox.Event{Topic: topic, Key: "a", Type: "t", Payload: map[string]string{"card": secret}}, event("b", 1))
		b.drain(t)
		r := b.row(t, events[0].ID)
		require.Equal(t, 1, r.Attempts)
		require.Equal(t, "step user: panicked with a string", r.LastError)
		require.Contains(t, log.String(), "step panicked")
		require.NotContains(t, log.String(), secret)
		require.Equal(t, []int{1}, b.sent("b"))
	})
}

// No part of a payload gets into last_error or the log: not of the event's, and
// not of one that the step made of it.
func TestErrorsOfStepsAreRedacted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		var log bytes.Buffer
		b.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		const decrypted = "Jane Doe of Baker Street"
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			err := fmt.Errorf("cannot bill %s", e.Payload)
			e.Payload = json.RawMessage(`{"name":"` + decrypted + `"}`)
			return pipeline.Next, omnibox.Permanent(fmt.Errorf("%w of %s", err, decrypted))
		})
		e := b.table.Enqueue(omnibox.Event{Topic: topic, Key: "a", Type: "t", Payload: map[string]string{"card": secret}})[0]
		b.drain(t)
		r := b.row(t, e.ID)
		require.Equal(t, omnibox.ClassPermanent, r.Class, "the class is still known")
		require.Contains(t, r.LastError, "cannot bill [payload]")
		for _, text := range []string{r.LastError, log.String(), b.table.DeadLetters()[0].Error} {
			require.NotContains(t, text, secret)
			require.NotContains(t, text, "Baker")
		}
	})
}

func TestLaterStepsAndTheHandlerSeeChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		e := b.table.Enqueue(omnibox.Event{Topic: topic, Key: "a", Type: "t", Payload: body{1}, Headers: map[string]string{"h": "1"}})[0]
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			*e = omnibox.Event{ // everything else is lost, or kept for it
				ID: uuid.New(), Topic: "elsewhere", Key: "z", Type: "changed", Payload: json.RawMessage(`{"n":7}`), Headers: map[string]string{"h": "2"},
			}
			return pipeline.Next, nil
		})
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			require.Equal(t, "changed", e.Type)
			require.Equal(t, omnibox.OrderKey{Topic: topic, Key: "a"}, e.OrderKey())
			require.Equal(t, "2", e.Headers["h"])
			return pipeline.Next, nil
		})
		b.drain(t)
		require.Equal(t, []int{7}, b.sent("a"))
		require.Equal(t, omnibox.StatusCompleted, b.row(t, e.ID).Status, "its fence was kept")
	})
}

// A step that fails changes nothing, and one that was given up on cannot touch
// the event any more. The race detector looks on.
func TestChangesOfFailedStepsAreDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.StepTimeout = time.Second
		b.cfg.Retry.Base = -1
		f := &finisher{at: func(o omnibox.Outcome) {
			require.Equal(t, "1", o.Event.Headers["h"])
			require.Equal(t, o.Verdict == omnibox.Completed, o.Event.Type == "changed")
		}}
		b.cfg.Finishers = []pipeline.Finisher{f}
		var runs atomic.Int32
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			run := runs.Add(1)
			require.Equal(t, "1", e.Headers["h"], "run %d", run)
			e.Headers["h"] = "2"
			e.Type = "changed"
			switch run {
			case 1:
				return pipeline.Next, errBad
			case 2:
				for range 100 {
					time.Sleep(30 * time.Millisecond)
					e.Headers["h"] += "x"
					e.Payload = json.RawMessage(`{"n":9}`)
				}
			}
			e.Headers["h"] = "1"
			return pipeline.Next, nil
		})
		b.table.Enqueue(omnibox.Event{Topic: topic, Key: "a", Type: "t", Payload: body{1}, Headers: map[string]string{"h": "1"}})
		b.drain(t)
		time.Sleep(time.Minute)
		require.Equal(t, []int{1}, b.sent("a"))
		require.Equal(t, int32(3), runs.Load())
	})
}

// A step that was cancelled by nobody has failed: were it released, it would run
// again at once, for ever.
func TestStepThatCallsItselfCancelledIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		e := b.enqueue(1, 1, "a")[0]
		b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) { return pipeline.Next, context.Canceled })
		b.drain(t)
		require.Equal(t, 1, b.row(t, e.ID).Attempts)
	})
}

// A result that means nothing must not pass for one: the event would be sent
// without the steps that remain.
func TestUnknownResultOfAStep(t *testing.T) {
	t.Parallel()
	for _, result := range []pipeline.Result{-1, pipeline.Stop + 1} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) { return result, nil })
				b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) { panic("not reached") })
				e := b.enqueue(1, 1, "a")[0]
				b.drain(t)
				r := b.row(t, e.ID)
				require.Empty(t, b.sent("a"))
				require.Equal(t, omnibox.StatusFailed, r.Status)
				require.Equal(t, omnibox.ClassPermanent, r.Class)
				require.Equal(t, fmt.Sprintf("step user: returned %d, which is none of Next, Skip and Stop", result), r.LastError)
			})
		})
	}
}

// A slow step does not keep those waiting that have passed it.
func TestSlowStepsDoNotHoldUpTheBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.enqueue(1, 100, "a")
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			time.Sleep(time.Second)
			require.GreaterOrEqual(t, len(b.sent("a")), number(e)-2)
			return pipeline.Next, nil
		})
		b.drain(t)
		require.Equal(t, upTo(100), b.sent("a"))
	})
}

// A rate limit costs neither leases nor attempts, and spreads what it lets pass.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.Steps = []pipeline.Step{pipeline.RateLimit(2, 1)}
		events := b.enqueue(1, 200, "a")
		began := time.Now()
		time.AfterFunc(50*time.Second+time.Millisecond, func() { require.InDelta(t, 100, len(b.sent("a")), 3) })
		require.Equal(t, pipeline.Calm, b.drain(t).Reason)
		require.WithinRange(t, time.Now(), began.Add(99*time.Second), began.Add(102*time.Second))
		require.Equal(t, upTo(200), b.sent("a"))
		for _, e := range events {
			require.Zero(t, b.row(t, e.ID).Attempts)
		}

		b.cfg.Steps = []pipeline.Step{pipeline.RateLimit(1./3600, 1)}
		events = b.enqueue(201, 210, "a")
		report := b.drain(t)
		require.Equal(t, pipeline.StepStop, report.Reason, "its turn is too far away")
		b.untouched(t, events[1:])
	})
}

// finisher records outcomes.
type finisher struct {
	mu   sync.Mutex
	seen []omnibox.Outcome
	took []time.Duration
	at   func(o omnibox.Outcome)
}

func (f *finisher) Finish(_ context.Context, o omnibox.Outcome, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.took = append(f.seen, o), append(f.took, took)
	if f.at != nil {
		f.at(o)
	}
}

func (*finisher) Spec() pipeline.Spec { return pipeline.Spec{Name: "finisher"} }

func (*finisher) Run(context.Context, *omnibox.Event) (pipeline.Result, error) {
	return pipeline.Next, nil
}

// Whoever asks learns of each outcome once it is in the row.
func TestFinishersLearnOfEachOutcomeOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		f, plain := &finisher{}, &finisher{}
		f.at = func(o omnibox.Outcome) {
			r, _ := b.table.Row(o.Event.ID)
			require.Equal(t, o.Verdict == omnibox.Completed || o.Verdict == omnibox.Skipped, r.Status == omnibox.StatusCompleted)
			require.Equal(t, o.Verdict == omnibox.Dead, r.Status == omnibox.StatusFailed)
		}
		b.cfg.Steps, b.cfg.Finishers = []pipeline.Step{f}, []pipeline.Finisher{plain}
		b.failing("a", 1, 1, omnibox.Permanent(errBad))
		b.failing("b", 1, 1, omnibox.Skip("not wanted"))
		b.failing("c", 1, 1, errBad)
		b.broker.SetDelay(time.Second)
		b.enqueue(1, 1, "a", "b", "c", "d")
		var last pipeline.Counts
		report := b.drain(t, func(d *pipeline.Drain) { d.Count = func(c pipeline.Counts) { last = c } })
		require.Equal(t, pipeline.Counts{Fetched: 4, Completed: 1, Skipped: 1, Retried: 1, Dead: 1}, report.Counts)
		require.Equal(t, report.Counts, last)
		for _, f := range []*finisher{f, plain} {
			var verdicts []omnibox.Verdict
			for _, o := range f.seen {
				verdicts = append(verdicts, o.Verdict)
			}
			slices.Sort(verdicts)
			require.Equal(t, []omnibox.Verdict{omnibox.Completed, omnibox.Dead, omnibox.Retry, omnibox.Skipped}, verdicts)
			require.Equal(t, time.Second, f.took[0])
		}
	})
}

// What a drain has in hand is bounded by three batches, however slow the rest is.
func TestAtMostThreeBatchesAreInHand(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]func(b *bed){
		"handling": func(b *bed) { b.broker.SetDelay(time.Second) },
		"settling": func(b *bed) { b.ports.commit = func([]omnibox.Outcome) error { time.Sleep(time.Second); return nil } },
		"steps": func(b *bed) {
			b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) {
				time.Sleep(60 * time.Millisecond)
				return pipeline.Next, nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				slow(b)
				b.cfg.Batch = 10
				var mu sync.Mutex
				inHand, written, most := map[uuid.UUID]bool{}, map[uuid.UUID]bool{}, 0
				b.ports.after = func(events []omnibox.Event) {
					mu.Lock()
					defer mu.Unlock()
					for _, e := range events {
						if !written[e.ID] { // else it was settled while it was read again
							inHand[e.ID] = true
						}
					}
					most = max(most, len(inHand))
				}
				b.ports.written = func(outcomes []omnibox.Outcome, err error) error {
					mu.Lock()
					defer mu.Unlock()
					for _, o := range outcomes {
						delete(inHand, o.Event.ID)
						written[o.Event.ID] = true
					}
					return err
				}
				b.enqueue(1, 200, "a")
				b.drain(t)
				require.Equal(t, upTo(200), b.sent("a"))
				require.GreaterOrEqual(t, most, 20, "it reads ahead")
				require.LessOrEqual(t, most, 30)
			})
		})
	}
}
