package pipeline_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

// A bounded handler that takes three leases is called once: its lease is extended
// meanwhile, and its event completed.
//
// trap: 9
func TestHandlerThatOutlastsTheLease(t *testing.T) {
	t.Parallel()
	for _, workflow := range []bool{false, true} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLaneBed()

				var calls, extends atomic.Int32
				b.ports.extend = func() error { extends.Add(1); return nil }
				b.cfg.Bounded = true
				b.cfg.Handler = handleFunc(func(ctx context.Context, events []*omnibox.Event) []error {
					calls.Add(1)
					time.Sleep(3 * pipeline.DefaultLease)
					require.NoError(t, ctx.Err())
					return make([]error, len(events))
				})
				e := b.enqueue(1, 1, "a")[0]
				if workflow {
					p := pipeline.New(b.cfg)
					turn := b.hand(t)
					took := handleOne(t, p, turn, 0)
					finishOne(t, p, turn.Next(took), took)
					require.GreaterOrEqual(t, b.lane.extends.Load(), int32(8))
				} else {
					b.drain(t)
					require.GreaterOrEqual(t, extends.Load(), int32(8))
				}
				require.EqualValues(t, 1, calls.Load())
				require.Equal(t, omnibox.StatusCompleted, b.row(t, e.ID).Status)
				require.Zero(t, b.row(t, e.ID).Attempts)
			})
		})
	}
}

// When the lease is lost under it, or cannot be extended, its context ends, and the
// event is as it was.
func TestLeaseOfABoundedHandlerIsLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err   error
		after time.Duration
	}{
		"lost":               {omnibox.ErrLeaseLost, 15 * time.Second},
		"cannot be extended": {omnibox.Unreachable(errBad), 22 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				extends, began, ended := 0, time.Now(), time.Duration(0)
				b.ports.extend = func() error {
					if extends++; extends > 2 { // at 15 s
						return c.err
					}
					return nil
				}
				b.cfg.Bounded = true
				b.cfg.Handler = handleFunc(func(ctx context.Context, _ []*omnibox.Event) []error {
					<-ctx.Done()
					ended = time.Since(began)
					return []error{errBad}
				})
				events := b.enqueue(1, 1, "a")
				b.drain(t, func(d *pipeline.Drain) { d.Slice = 30 * time.Second })
				require.Equal(t, c.after, ended)
				b.untouched(t, events)
			})
		})
	}
}

// One that is not bounded has the time that the lease had when it was called.
func TestLeaseOfAHandlerThatIsNotBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		began, ended := time.Now(), time.Duration(0)
		b.cfg.Handler = handleFunc(func(ctx context.Context, _ []*omnibox.Event) []error {
			<-ctx.Done()
			ended = time.Since(began)
			return []error{errBad}
		})
		b.enqueue(1, 1, "a")
		b.drain(t, func(d *pipeline.Drain) { d.Slice = time.Second })
		require.Equal(t, 12*time.Second, ended)
	})
}

// The workflow lane has a handler of its own if it is given one, which is guarded
// like the other.
func TestHandlerOfTheWorkflowLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		b.cfg.LaneHandler = handleFunc(func(context.Context, []*omnibox.Event) []error { panic(secret) })
		turn, _ := b.handed(t, 1)
		require.Equal(t, "handler panicked with a string", b.handle(t, turn).Error)
		b.enqueue(1, 1, "b")
		b.drain(t)
		require.Equal(t, []int{1}, b.sent("b"), "the batch lane has the usual one")
		require.Empty(t, b.sent("a"))
	})
}
