package pipeline_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

// partly is a destination that answers, but has a part that cannot be reached:
// that of keys which begin with bad. Like one that waits for a leader, it waits
// for that part until its time is up.
type partly struct {
	bed   *bed
	whole atomic.Bool
	calls int // in which it could not reach the part
	fast  bool
}

func (p *partly) Handle(ctx context.Context, events []*omnibox.Event) []error {
	errs, behind := make([]error, len(events)), map[string]bool{}
	for i, e := range events {
		switch {
		case behind[e.Key]:
			errs[i] = omnibox.ErrNotSent
		case !p.whole.Load() && strings.HasPrefix(e.Key, "bad"):
			errs[i], behind[e.Key] = omnibox.Unreachable(errBad), true
		default:
			errs[i] = p.bed.sink.Handle(ctx, events[i:i+1])[0]
		}
	}
	if len(behind) > 0 {
		p.calls++
		if !p.fast {
			<-ctx.Done()
		}
	}
	return errs
}

func (p *partly) Probe(context.Context) error { return nil }

// Events that cannot reach their part of the destination fill more than a batch.
// Others get on all the same; those that cannot are tried again now and then,
// uncounted, and are delivered in order once they can.
//
// trap: 13
func TestUnreachablePartOfADestinationHoldsUpNoOthers(t *testing.T) {
	t.Parallel()
	for _, batch := range []int{1, 7, 50} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				h := &partly{bed: b}
				b.cfg.Handler, b.cfg.Batch = h, batch
				b.ports.fetch = func(omnibox.Claim) { time.Sleep(50 * time.Millisecond) } // to read what is stuck takes longer than a scan
				var bad, good []string
				for i := range 4 {
					bad, good = append(bad, fmt.Sprint("bad", i)), append(good, fmt.Sprint("good", i))
				}
				stuck := b.enqueue(1, 15, bad...)
				b.enqueue(1, 15, good...)
				began := time.Now()
				time.AfterFunc(2*time.Minute, func() {
					for _, key := range good {
						require.Equal(t, upTo(15), b.sent(key))
					}
					require.LessOrEqual(t, h.calls, 4*(1+int(time.Since(began)/(30*time.Second))), "it is not tried all the time")
					for _, e := range stuck {
						require.Zero(t, b.row(t, e.ID).Attempts)
					}
					b.enqueue(16, 20, append(bad, good...)...)
				})
				time.AfterFunc(4*time.Minute, func() {
					for _, key := range good {
						require.Equal(t, upTo(20), b.sent(key), "what comes later gets on too")
					}
					require.Empty(t, b.sent("bad0"))
					h.whole.Store(true)
				})
				report := b.drain(t)
				require.Equal(t, pipeline.Calm, report.Reason, "it stays until all is delivered")
				require.Less(t, time.Since(began), 5*time.Minute+90*time.Second)
				for _, key := range append(bad, good...) {
					require.Equal(t, upTo(20), b.sent(key), "in order, each once")
				}
				for _, e := range stuck {
					require.Zero(t, b.row(t, e.ID).Attempts)
				}
			})
		})
	}
}

// The part comes and goes, while settling lags behind: what was left out comes
// again as a whole, and in order.
func TestAvoidedKeysKeepTheirOrder(t *testing.T) {
	t.Parallel()
	for _, batch := range []int{1, 2, 3, 5, 20} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				h := &partly{bed: b, fast: true}
				h.whole.Store(true)
				b.cfg.Handler, b.cfg.Batch = h, batch
				b.ports.commit = func([]omnibox.Outcome) error { time.Sleep(700 * time.Millisecond); return nil }
				over := make(chan struct{})
				go func() {
					defer close(over)
					for range 6 {
						time.Sleep(7 * time.Second)
						h.whole.Store(!h.whole.Load())
					}
				}()
				go func() {
					for n := 1; n <= 100; n++ {
						b.enqueue(n, n, "bad0", "bad1", "good")
						time.Sleep(300 * time.Millisecond)
					}
				}()
				b.drain(t, func(d *pipeline.Drain) { d.Linger = 40 * time.Second })
				<-over
				b.drain(t)
				for _, key := range []string{"bad0", "bad1", "good"} {
					require.Equal(t, upTo(100), b.sent(key))
				}
			})
		})
	}
}

// A destination that answers but lets nothing through is not stormed.
func TestNothingComesThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		h := &partly{bed: b, fast: true}
		b.cfg.Handler, b.cfg.Batch = h, 2
		for i := range 1000 {
			b.enqueue(1, 1, fmt.Sprint("bad", i))
		}
		b.drain(t, func(d *pipeline.Drain) { d.Slice = 100 * time.Second })
		require.InDelta(t, 100, h.calls, 2)
	})
}
