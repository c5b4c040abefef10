package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
)

// A failure is decided and settled in one place: what the caller is told is what
// the row says.
func TestOneEventFailsAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		f := &finisher{}
		b.cfg.Finishers = []pipeline.Finisher{f}
		b.failing("a", 1, 2, errBad)
		turn, written := b.handed(t, 2)
		for attempts := 1; attempts <= 2; attempts++ {
			took := b.handle(t, turn)
			r := b.row(t, written[0].ID)
			require.Equal(t, pipeline.Took{
				Verdict: omnibox.Retry, Class: omnibox.ClassTransient, Error: "step user: bad", Attempts: attempts, Delay: took.Delay, Token: turn.Token,
				HoldsKey: attempts > 1,
			}, took)
			require.InDelta(t, 7500*time.Millisecond<<(attempts-1), took.Delay, float64(2500*time.Millisecond<<(attempts-1)))
			require.Equal(t, attempts, r.Attempts)
			require.Equal(t, time.Now().Add(took.Delay), r.ScheduledAt)
			require.Equal(t, took.Error, r.LastError)
			require.Zero(t, r.Fetches)
			require.Len(t, f.seen, attempts)
			turn = travel(t, turn.Next(took))
			require.True(t, turn.HoldsKey)
			b.nothingIsDue(t) // what is behind waits
			time.Sleep(took.Delay)
		}
		took := b.handle(t, turn)
		require.Equal(t, omnibox.Completed, took.Verdict)
		require.Equal(t, 2, took.Attempts)
		finishOne(t, pipeline.New(b.cfg), turn.Next(took), took)
		require.Equal(t, []int{1}, b.sent("a"))
		require.Equal(t, omnibox.StatusCompleted, b.row(t, written[0].ID).Status)
		b.untouched(t, written[1:])
	})
}

// An attempt at a time that the handler names does not count.
func TestOneEventAsksForATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		turn, written := b.handed(t, 1)
		b.failing("a", 1, 1, omnibox.RetryAt(time.Now().Add(time.Hour)))
		took := b.handle(t, turn)
		require.Equal(t, omnibox.Retry, took.Verdict)
		require.Zero(t, took.Attempts)
		require.Equal(t, time.Hour, took.Delay)
		require.Zero(t, b.row(t, written[0].ID).Attempts)
		turn = turn.Next(took)
		time.Sleep(took.Delay + time.Minute)
		require.Equal(t, omnibox.Completed, b.handle(t, turn).Verdict, "its lease lasts until then")
	})
}

// There are as many workflows of failed events as there may be: this one ends,
// and the event backs off in its row.
func TestOneEventFailsOverTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBedWith(store.Escalation{}, store.LaneConfig{Budget: -1, InFlight: 100})

		b.failing("a", 1, 1, errBad)
		turn, written := b.handed(t, 2)
		took := b.handle(t, turn)
		require.Equal(t, omnibox.Retry, took.Verdict)
		require.True(t, took.Gone)
		r := b.row(t, written[0].ID)
		require.Equal(t, 1, r.Attempts)
		require.Zero(t, r.LeaseUntil)
		require.Equal(t, time.Now().Add(took.Delay), r.ScheduledAt)
		time.Sleep(took.Delay)
		b.drain(t)
		require.Equal(t, upTo(2), b.sent("a"))
	})
}

// Dead is the workflow's to settle, once it has told whoever is to know.
func TestOneEventDies(t *testing.T) {
	t.Parallel()
	for name, parks := range map[string]int{"a person may be waited for": 1, "too many wait": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLaneBedWith(store.Escalation{Parked: parks, ParkFor: time.Hour}, store.LaneConfig{Budget: -1, InFlight: 100})

				f := &finisher{}
				b.cfg.Finishers = []pipeline.Finisher{f}
				b.failing("a", 1, 1, omnibox.Permanent(errBad))
				turn, written := b.handed(t, 2)
				took := b.handle(t, turn)
				require.Equal(t, pipeline.Took{
					Verdict: omnibox.Dead, Class: omnibox.ClassPermanent, Error: "step user: bad", Attempts: 1, Begun: 1,
				}, took)
				require.Equal(t, omnibox.StatusPending, b.row(t, written[0].ID).Status)
				require.Empty(t, b.table.DeadLetters())
				require.Empty(t, f.seen)
				want := took
				want.Parked = parks > 0
				require.Equal(t, want, finishOne(t, pipeline.New(b.cfg), turn.Next(took), took))
				require.Equal(t, omnibox.StatusFailed, b.row(t, written[0].ID).Status)
				letters := b.table.DeadLetters()
				require.Len(t, letters, 1)
				require.Equal(t, 1, letters[0].Attempts)
				require.Equal(t, "step user: bad", letters[0].Error)
				require.Len(t, f.seen, 1)
				require.True(t, f.seen[0].Counted)
				b.untouched(t, written[1:])
			})
		})
	}
}

func TestOneEventDiesOfItsLastAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		e := event("a", 1)
		e.MaxAttempts = 2
		b.table.Enqueue(e)
		b.failing("a", 1, 9, errBad)
		turn := b.hand(t)
		took := b.handle(t, turn)
		require.Equal(t, omnibox.Retry, took.Verdict)
		took = b.handle(t, turn.Next(took))
		require.Equal(t, omnibox.Dead, took.Verdict)
		require.Equal(t, 2, took.Attempts)
		require.Equal(t, omnibox.ClassTransient, took.Class)
	})
}

// Whoever has the event by now decides about it.
//
// trap: 9
func TestFinishWithoutTheLease(t *testing.T) {
	t.Parallel()
	for _, verdict := range []omnibox.Verdict{omnibox.Completed, omnibox.Skipped, omnibox.Dead} {
		t.Run(string(verdict), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLaneBed()

				f := &finisher{}
				b.cfg.Finishers = []pipeline.Finisher{f}
				turn, written := b.handed(t, 1)
				p := pipeline.New(b.cfg)
				took := handleOne(t, p, turn, 0)
				b.table.Expire()
				c, events := b.fetched(t)
				require.NoError(t, c.Mark(t.Context(), []*omnibox.Event{&events[0]}))
				took.Verdict = verdict
				require.Equal(t, pipeline.Took{Gone: true}, finishOne(t, p, turn.Next(took), took))
				require.Equal(t, omnibox.StatusPending, b.row(t, written[0].ID).Status)
				require.Empty(t, b.table.DeadLetters())
				require.Empty(t, f.seen)
			})
		})
	}
}

// The process of a delivery ended under it. Perhaps the event did that: the batch
// lane takes it, which runs it alone and counts.
//
// trap: 12
func TestDeliveryThatDidNotEndIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) { panic("not reached") })
		turn, written := b.handed(t, 1)
		_, _, err := b.lane.Begin(t.Context(), turn.Ref(), omnibox.Fence{Slot: turn.Slot, Token: turn.Token})
		require.NoError(t, err)
		require.Equal(t, pipeline.Took{Gone: true}, b.handle(t, turn))
		r := b.row(t, written[0].ID)
		require.Zero(t, r.Attempts)
		require.Zero(t, r.LeaseUntil)
		c, events := b.fetched(t)
		require.Len(t, events, 1)
		require.Equal(t, 2, events[0].Fetches)
		require.True(t, events[0].Suspect)
		require.NoError(t, c.Release(t.Context()))
	})
}

func TestOneEventIsSkipped(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func() (pipeline.Result, error){
		"result": func() (pipeline.Result, error) { return pipeline.Skip, nil },
		"error":  func() (pipeline.Result, error) { return pipeline.Next, omnibox.Skip("not wanted") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLaneBed()

				b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) { return run() })
				turn, written := b.handed(t, 2)
				p := pipeline.New(b.cfg)
				took := stepsOne(t, p, turn, 0, 1)
				require.Equal(t, pipeline.Took{Verdict: omnibox.Skipped, Begun: 1}, took)
				require.Equal(t, omnibox.StatusPending, b.row(t, written[0].ID).Status)
				require.Equal(t, omnibox.Skipped, finishOne(t, p, turn.Next(took), took).Verdict)
				require.Equal(t, omnibox.StatusCompleted, b.row(t, written[0].ID).Status)
				require.Empty(t, b.sent("a"))
				b.untouched(t, written[1:])
			})
		})
	}
}

func TestStepStopsOneEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) { return pipeline.Stop, nil })
		turn, written := b.handed(t, 1)
		took := b.handle(t, turn)
		require.Equal(t, omnibox.Released, took.Verdict)
		require.True(t, took.Gone)
		require.Empty(t, b.sent("a"))
		b.untouched(t, written)
	})
}

// What a workflow is told gets into its history, which many may read. An error
// may quote what the event said before an earlier part of the work, too.
func TestPayloadIsNotInWhatAWorkflowIsTold(t *testing.T) {
	t.Parallel()
	const decrypted = "Jane Doe of Baker Street"
	for name, mark := range map[string]func(error) error{"retry": omnibox.Transient, "dead": omnibox.Permanent} {
		for _, parts := range []int{1, 2} {
			t.Run(fmt.Sprint(name, " in part ", parts), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newLaneBed()

					b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
						e.Payload = json.RawMessage(`{"name":"` + decrypted + `"}`)
						return pipeline.Next, nil
					})
					b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
						return pipeline.Next, mark(fmt.Errorf("cannot bill %s to %s", e.Payload, secret))
					})
					b.table.Enqueue(omnibox.Event{Topic: topic, Key: "a", Type: "t", Payload: map[string]string{"card": secret}})
					turn := b.hand(t)
					p := pipeline.New(b.cfg)
					took := stepsOne(t, p, turn, 0, 3-parts)
					if parts == 2 {
						took = stepsOne(t, p, turn.Next(took), 1, 2)
					}
					require.Contains(t, took.Error, "cannot bill [payload]")
					require.NotContains(t, took.Error, secret)
					require.NotContains(t, took.Error, "Baker")
				})
			})
		}
	}
}

// The database does not answer for a while: what was decided is not lost, and
// what was sent is not sent again.
//
// trap: 18
func TestFailureOfOneEventIsSettledInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		b.cfg.StepTimeout = time.Minute
		b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) {
			time.Sleep(40 * time.Second) // the lease was extended meanwhile
			return pipeline.Next, nil
		})
		b.failing("a", 1, 1, errBad)
		turn, written := b.handed(t, 1)
		tries := 0
		b.lane.commit = func([]omnibox.Outcome) error {
			if tries++; tries < 4 {
				return omnibox.Unreachable(errBad)
			}
			return nil
		}
		require.Equal(t, omnibox.Retry, b.handle(t, turn).Verdict)
		require.Equal(t, 1, b.row(t, written[0].ID).Attempts)
	})
}

func TestStepSpecsAreThoseOfTheStepsInTheirOrder(t *testing.T) {
	t.Parallel()
	b := newLaneBed()
	b.cfg.StepTimeout = 10 * time.Second
	b.cfg.Steps = []pipeline.Step{
		stepFunc{pipeline.Spec{Name: "slow", Timeout: time.Minute}, nil}, stepFunc{pipeline.Spec{Name: "plain"}, nil},
	}
	p := pipeline.New(b.cfg)
	specs := p.StepSpecs()
	require.Len(t, specs, 2)
	require.Equal(t, []string{"slow", "plain"}, []string{specs[0].Name, specs[1].Name})
	require.Equal(t, 70*time.Second, p.StepsTimeout())
}

// What is logged of an outage quotes no payload either, be it one that a step has
// changed meanwhile.
func TestNoLogOfAnOutageQuotesAPayload(t *testing.T) {
	t.Parallel()
	down := func(e *omnibox.Event) error { return omnibox.Unreachable(quote(`{"card":"` + secret + `"}`)(e)) }
	for name, c := range map[string]hiddenCase{
		"of a step":      {steps: []func(e *omnibox.Event) error{set(map[string]int{"n": 1}), down}},
		"of the handler": {steps: []func(e *omnibox.Event) error{set(map[string]int{"n": 1})}, handle: down},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLaneBed()
				var log bytes.Buffer
				b.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
				c.wire(b.bed)
				b.cfg.Breaker = pipeline.NewBreaker("kafka", func(context.Context) error { return errBad }, b.cfg.Log)
				b.table.Enqueue(omnibox.Event{Topic: topic, Key: "a", Type: "t", Payload: json.RawMessage(`{"card":"` + secret + `"}`)})
				took := b.handle(t, b.hand(t))
				require.True(t, took.Gone)
				require.Contains(t, log.String(), "[payload]")
				require.NotContains(t, took.Error+log.String(), secret)
			})
		})
	}
}
