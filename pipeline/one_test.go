package pipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

// travel takes a value through the history of a workflow.
func travel[T any](t *testing.T, v T) (out T) {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}

// handed writes events of key a and hands the first to a workflow.
func (b *laneBed) handed(t *testing.T, n int) (pipeline.Turn, []omnibox.Event) {
	t.Helper()
	written := b.enqueue(1, n, "a")
	return b.hand(t), written
}

func (b *laneBed) hand(t *testing.T) pipeline.Turn {
	t.Helper()
	assigned, _, err := pipeline.New(b.cfg).Assign(t.Context(), wave())
	require.NoError(t, err)
	require.Len(t, assigned, 1)
	return travel(t, pipeline.TurnOf(assigned[0], time.Now()))
}

// handle does the whole work in one part.
func (b *laneBed) handle(t *testing.T, turn pipeline.Turn) pipeline.Took {
	t.Helper()
	return handleOne(t, pipeline.New(b.cfg), turn, 0)
}

func handleOne(t *testing.T, p *pipeline.Pipeline, turn pipeline.Turn, from int) pipeline.Took {
	t.Helper()
	took, err := p.HandleOne(t.Context(), turn, from)
	require.NoError(t, err)
	return travel(t, took)
}

func stepsOne(t *testing.T, p *pipeline.Pipeline, turn pipeline.Turn, from, to int) pipeline.Took {
	t.Helper()
	took, err := p.StepsOne(t.Context(), turn, from, to)
	require.NoError(t, err)
	return travel(t, took)
}

func finishOne(t *testing.T, p *pipeline.Pipeline, turn pipeline.Turn, took pipeline.Took) pipeline.Took {
	t.Helper()
	took, err := p.FinishOne(t.Context(), turn, took)
	require.NoError(t, err)
	return travel(t, took)
}

// counting makes two steps that count their runs, and leave their mark.
func (b *laneBed) counting() (runs [2]*atomic.Int32) {
	for i := range runs {
		runs[i] = new(atomic.Int32)
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			runs[i].Add(1)
			e.Payload = body{number(e)*10 + i + 1}
			return pipeline.Next, nil
		})
	}
	return runs
}

// One process takes all parts: what the steps made of the event is at hand.
func TestStepsRunOnceWithinAProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		runs := b.counting()
		f := &finisher{}
		b.cfg.Finishers = []pipeline.Finisher{f}
		turn, written := b.handed(t, 2)
		p := pipeline.New(b.cfg)
		time.Sleep(2 * time.Second)
		for part := range runs {
			took := stepsOne(t, p, turn, part, part+1)
			require.Equal(t, pipeline.Took{Begun: 1}, took)
			turn = travel(t, turn.Next(took))
		}
		took := handleOne(t, p, turn, 2)
		require.Equal(t, pipeline.Took{Verdict: omnibox.Completed, Begun: 1}, took)
		require.Equal(t, omnibox.StatusPending, b.row(t, written[0].ID).Status)
		require.Equal(t, 1, b.row(t, written[0].ID).Fetches)
		require.Empty(t, f.seen)
		require.Equal(t, pipeline.Took{Verdict: omnibox.Completed}, finishOne(t, p, turn.Next(took), took))
		require.Equal(t, omnibox.StatusCompleted, b.row(t, written[0].ID).Status)
		require.Equal(t, []int{112}, b.sent("a"))
		require.Equal(t, []int32{1, 1}, []int32{runs[0].Load(), runs[1].Load()})
		require.Len(t, f.seen, 1)
		require.Equal(t, []time.Duration{2 * time.Second}, f.took, "since it was handed over")
		b.untouched(t, written[1:])
	})
}

// Each part runs in a process of its own: the steps before it run again, on the
// event as it was written.
func TestStepsRunAgainInAnotherProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		runs := b.counting()
		f := &finisher{}
		b.cfg.Finishers = []pipeline.Finisher{f}
		turn, written := b.handed(t, 1)
		for part := range runs {
			took := stepsOne(t, pipeline.New(b.cfg), turn, part, part+1)
			require.Equal(t, pipeline.Took{Begun: part + 1}, took)
			turn = travel(t, turn.Next(took))
		}
		took := handleOne(t, pipeline.New(b.cfg), turn, 2)
		require.Equal(t, pipeline.Took{Verdict: omnibox.Completed, Begun: 3}, took)
		require.Equal(t, omnibox.Completed, finishOne(t, pipeline.New(b.cfg), turn.Next(took), took).Verdict)
		require.Equal(t, []int32{3, 2}, []int32{runs[0].Load(), runs[1].Load()})
		require.Equal(t, []int{112}, b.sent("a"))
		require.Equal(t, omnibox.StatusCompleted, b.row(t, written[0].ID).Status)
		require.Len(t, f.seen, 1)
		require.Equal(t, omnibox.OrderKey{Topic: topic, Key: "a"}, f.seen[0].Event.OrderKey())
	})
}

// A step may take many leases: nobody else gets the event meanwhile.
//
// trap: 9
func TestLongStepKeepsTheLeaseOfItsEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		b.cfg.StepTimeout = 5 * time.Minute
		runs := 0
		b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) {
			runs++
			for range 100 {
				time.Sleep(time.Second)
				b.nothingIsDue(t) //nolint:contextcheck // it is of the test
			}
			return pipeline.Next, nil
		})
		turn, written := b.handed(t, 1)
		p := pipeline.New(b.cfg)
		turn = turn.Next(stepsOne(t, p, turn, 0, 1))
		took := handleOne(t, p, turn, 1)
		require.Equal(t, omnibox.Completed, took.Verdict)
		require.Equal(t, 1, runs, "what it made is at hand for as long as the lease lasts")
		require.InDelta(t, 20, b.lane.extends.Load(), 1, "at a third of the lease")
		require.Equal(t, omnibox.Completed, finishOne(t, p, turn.Next(took), took).Verdict)
		require.Equal(t, []int{1}, b.sent("a"))
		require.Equal(t, omnibox.StatusCompleted, b.row(t, written[0].ID).Status)
	})
}

// Another has the event while a step works on it. The step is told, and nothing
// of the workflow gets into the row.
//
// trap: 9
// trap: 11
func TestWorkflowWhoseLeaseIsLost(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(context.Context) error{
		"the step ends with its context": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"the step goes on":               func(context.Context) error { time.Sleep(20 * time.Second); return errBad },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLaneBed()

				f := &finisher{}
				b.cfg.StepTimeout, b.cfg.Finishers = time.Minute, []pipeline.Finisher{f}
				turn, written := b.handed(t, 1)
				b.step(func(ctx context.Context, _ *omnibox.Event) (pipeline.Result, error) {
					b.table.Expire()
					c, events := b.fetched(t) //nolint:contextcheck // it is of the test
					require.NoError(t, c.Mark(ctx, []*omnibox.Event{&events[0]}))
					return pipeline.Next, end(ctx)
				})
				began := time.Now()
				require.Equal(t, pipeline.Took{Gone: true}, b.handle(t, turn))
				require.Less(t, time.Since(began), 21*time.Second)
				r := b.row(t, written[0].ID)
				require.Equal(t, omnibox.StatusPending, r.Status)
				require.Zero(t, r.Attempts)
				require.Equal(t, 2, r.Fetches)
				require.Empty(t, f.seen)
				require.Empty(t, b.sent("a"))
				require.Equal(t, pipeline.Took{Gone: true}, b.handle(t, turn), "nor does another part begin")
				time.Sleep(time.Minute) // the step ends
			})
		})
	}
}

// The lease cannot be extended, and nobody else has taken it: the work stops in
// time, and the event is as it was, whatever the work calls that.
func TestLeaseThatCannotBeExtended(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]func(b *laneBed){
		"a step": func(b *laneBed) {
			b.step(func(ctx context.Context, _ *omnibox.Event) (pipeline.Result, error) {
				<-ctx.Done()
				return pipeline.Next, errBad
			})
		},
		"the handler": func(b *laneBed) {
			b.cfg.Handler = handleFunc(func(ctx context.Context, _ []*omnibox.Event) []error { <-ctx.Done(); return []error{errBad} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLaneBed()

				b.cfg.StepTimeout = time.Minute
				turn, written := b.handed(t, 1)
				b.lane.extend = func() error { return omnibox.Unreachable(errBad) }
				block(b)
				began := time.Now()
				took := b.handle(t, turn)
				require.Equal(t, 12*time.Second, time.Since(began), "the lease less its margin")
				require.Equal(t, omnibox.Released, took.Verdict)
				require.True(t, took.Gone)
				b.untouched(t, written)
			})
		})
	}
}

// Nobody has extended the lease between two parts. Others may begin any time.
func TestNextPartComesTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		b.counting()
		turn, written := b.handed(t, 1)
		p := pipeline.New(b.cfg)
		turn = turn.Next(stepsOne(t, p, turn, 0, 1))
		time.Sleep(15 * time.Second)
		require.Equal(t, pipeline.Took{Gone: true}, handleOne(t, p, turn, 1))
		require.Empty(t, b.sent("a"))
		require.Equal(t, 1, b.row(t, written[0].ID).Fetches)
	})
}

// A part that could not be settled is done again, on the event as it was before
// that part.
func TestPartIsDoneAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		b.counting()
		b.refuse(112, omnibox.Transient(errBad))
		turn, _ := b.handed(t, 1)
		p := pipeline.New(b.cfg)
		turn = turn.Next(stepsOne(t, p, turn, 0, 1))
		b.lane.commit = func([]omnibox.Outcome) error { return errBad }
		_, err := p.HandleOne(t.Context(), turn, 1)
		require.ErrorIs(t, err, errBad)
		require.Equal(t, omnibox.Completed, handleOne(t, p, turn, 1).Verdict)
		require.Equal(t, []int{112}, b.sent("a"))
	})
}

// The worker shuts down, or the activity is cancelled.
//
// trap: 17
func TestWorkOnOneEventIsCancelled(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"by its context", "by the end of the process"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLaneBed()

				turn, written := b.handed(t, 1)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ending := make(chan struct{})
				b.cfg.Ending = ending
				b.step(func(ctx context.Context, _ *omnibox.Event) (pipeline.Result, error) {
					if how == "by its context" {
						cancel()
					} else {
						close(ending)
					}
					<-ctx.Done()
					return pipeline.Next, ctx.Err()
				})
				took, err := pipeline.New(b.cfg).HandleOne(ctx, turn, 0)
				require.NoError(t, err)
				require.Equal(t, omnibox.Released, took.Verdict)
				require.True(t, took.Gone)
				b.untouched(t, written)
			})
		})
	}
}

// trap: 13
func TestDestinationOfOneEventCannotBeReached(t *testing.T) {
	t.Parallel()
	for _, answers := range []bool{false, true} {
		t.Run(fmt.Sprint("probe answers ", answers), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLaneBed()

				var calls atomic.Int32
				handle := func(context.Context, []*omnibox.Event) []error {
					calls.Add(1)
					return []error{omnibox.Unreachable(errBad)}
				}
				b.cfg.Handler = &probed{Handler: handleFunc(handle), probe: func() error {
					if answers {
						return nil
					}
					return errBad
				}}
				turn, written := b.handed(t, 1)
				p := pipeline.New(b.cfg)
				isGone := func(took pipeline.Took) {
					require.Equal(t, omnibox.Released, took.Verdict)
					require.Equal(t, omnibox.ClassUnreachable, took.Class)
					require.True(t, took.Gone)
				}
				isGone(handleOne(t, p, turn, 0))
				_, open := p.Breaker.Open()
				require.Equal(t, !answers, open, "others go on if it is this event's part alone")
				b.untouched(t, written)
				assigned, backlog, err := p.Assign(t.Context(), pipeline.Wave{Slots: all(), Most: 0})
				require.NoError(t, err)
				require.Empty(t, assigned)
				require.Equal(t, answers, backlog, "it is left to the drain for a while, unless everything waits")

				turn = b.hand(t)
				isGone(handleOne(t, p, turn, 0))
				require.Equal(t, answers, calls.Load() == 2, "nothing is sent while it is down")
				b.untouched(t, written)
			})
		})
	}
}
