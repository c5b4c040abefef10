package pipeline_test

import (
	"context"
	"fmt"
	"slices"
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

// lane is a workflow lane that a test can hook into.
type lane struct {
	*memstore.Lane
	suspects func() error                           // after each look for suspects
	extend   func() error                           // before each extend
	commit   func(outcomes []omnibox.Outcome) error // before each commit
	extends  atomic.Int32
}

func (l *lane) Suspects(ctx context.Context, slots []int) (bool, error) {
	found, err := l.Lane.Suspects(ctx, slots)
	if l.suspects != nil && err == nil {
		err = l.suspects()
	}
	return found, err
}

func (l *lane) Extend(ctx context.Context, e *omnibox.Event) (time.Time, error) {
	l.extends.Add(1)
	if l.extend != nil {
		if err := l.extend(); err != nil {
			return time.Time{}, err
		}
	}
	return l.Lane.Extend(ctx, e)
}

func (l *lane) Commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	if l.commit != nil {
		if err := l.commit(outcomes); err != nil {
			return err
		}
	}
	return l.Lane.Commit(ctx, outcomes)
}

// laneBed is a bed with a workflow lane.
type laneBed struct {
	*bed
	lane *lane
}

func newLaneBed() *laneBed {
	return newLaneBedWith(store.Escalation{Most: 10, Parked: 10, ParkFor: time.Hour}, store.LaneConfig{Budget: -1, InFlight: 100})
}

func newLaneBedWith(escalation store.Escalation, limits store.LaneConfig) *laneBed {
	b := newBedOn(store.Config{Owner: "a", Escalation: escalation})
	l := &lane{Lane: b.ports.Lane(limits)}
	b.cfg.Lane = l
	return &laneBed{b, l}
}

func wave() pipeline.Wave { return pipeline.Wave{Slots: all(), Most: 100} }

// assign hands a wave over and returns the keys of those assigned, in order.
func (b *laneBed) assign(t *testing.T, in pipeline.Wave) (keys []string, backlog bool) {
	t.Helper()
	assigned, backlog, err := pipeline.New(b.cfg).Assign(t.Context(), in)
	require.NoError(t, err)
	for _, e := range assigned {
		keys = append(keys, e.Key)
	}
	slices.Sort(keys)
	return keys, backlog
}

// fetched is what the next one gets who claims all slots, with the leases still
// to be released.
func (b *bed) fetched(t *testing.T) (omnibox.Claim, []omnibox.Event) {
	t.Helper()
	c, err := b.table.Open(store.Config{Owner: "next"}).Claim(t.Context(), all())
	require.NoError(t, err)
	events, _, err := c.Fetch(t.Context(), 1000)
	require.NoError(t, err)
	return c, events
}

func (b *bed) nothingIsDue(t *testing.T) {
	t.Helper()
	c, events := b.fetched(t)
	require.Empty(t, events)
	require.NoError(t, c.Release(t.Context()))
}

func TestAssignTakesTheFirstOfEachKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		written := b.enqueue(1, 3, "a", "b")
		assigned, backlog, err := pipeline.New(b.cfg).Assign(t.Context(), wave())
		require.NoError(t, err)
		require.False(t, backlog)
		require.Len(t, assigned, 2)
		for _, e := range assigned {
			require.Equal(t, 1, number(e))
		}
		keys, backlog := b.assign(t, wave())
		require.Empty(t, keys, "what is behind waits")
		require.False(t, backlog)
		for _, e := range assigned {
			require.NoError(t, b.lane.Commit(t.Context(), []omnibox.Outcome{{Event: e, Verdict: omnibox.Completed}}))
		}
		b.untouched(t, written[2:])
	})
}

func TestAssignHandsOverAtMostAWave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		in := wave()
		in.Most = 2
		for n, calm := range []int{0, 10} {
			in.Calm = calm
			for i := range 5 {
				b.enqueue(1, 1, fmt.Sprint(n, i))
			}
			for _, want := range []int{2, 2, 1, 0} {
				keys, backlog := b.assign(t, in)
				require.Len(t, keys, want)
				require.False(t, backlog)
			}
		}
	})
}

// More than a calm table has is left to a drain, which is cheaper.
func TestAssignLeavesABurstToTheDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		in := wave()
		in.Calm = 3
		burst := b.enqueue(1, 4, "a")
		keys, backlog := b.assign(t, in)
		require.Empty(t, keys)
		require.True(t, backlog)
		b.untouched(t, burst)
		b.drain(t)
		b.enqueue(5, 5, "a", "b", "c")
		keys, backlog = b.assign(t, in)
		require.Equal(t, []string{"a", "b", "c"}, keys)
		require.False(t, backlog)
	})
}

// Another owner has taken some of the slots meanwhile: what failed in the others is
// settled, and somebody has to start its workflow.
func TestWhatIsSettledBesideALostLeaseIsEscalated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		b.step(func(context.Context, *omnibox.Event) (pipeline.Result, error) { return pipeline.Next, errBad })
		var escalated []string
		b.cfg.Escalate = func(_ context.Context, failed []omnibox.Outcome) {
			for _, o := range failed {
				escalated = append(escalated, o.Event.Key)
			}
		}
		b.enqueue(1, 1, "a", "b")
		b.ports.commit = func([]omnibox.Outcome) error {
			b.table.Expire()
			_, err := b.table.Open(store.Config{Owner: "b"}).Claim(t.Context(), []int{memstore.SlotOf(omnibox.OrderKey{Topic: topic, Key: "b"})})
			b.ports.commit = nil
			return err
		}
		require.Equal(t, pipeline.LeaseLost, b.drain(t).Reason)
		require.Equal(t, []string{"a"}, escalated)
	})
}

// When there are as many workflows as there may be, a drain takes the rest, if
// one may.
func TestAssignOverBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBedWith(store.Escalation{}, store.LaneConfig{Budget: 2, Burst: 2, InFlight: 100})

		in := wave()
		for _, calm := range []int{0, 10} {
			in.Calm = calm
			b.enqueue(1, 1, "a", "b", "c")
			keys, backlog := b.assign(t, in)
			require.Empty(t, keys)
			require.Equal(t, calm > 0, backlog)
		}
		b.drain(t)
		b.enqueue(2, 2, "a", "b")
		keys, backlog := b.assign(t, in)
		require.Equal(t, []string{"a", "b"}, keys)
		require.False(t, backlog)
	})
}

// What failed before, was put back, or may have ended its worker is for a drain,
// which is told that there is something for it.
func TestAssignLeavesWhatOnlyADrainHandles(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		make func(t *testing.T, b *laneBed)
		want []string
	}{
		"asked for a time": {func(t *testing.T, b *laneBed) {
			t.Helper()
			b.failing("a", 1, 1, omnibox.RetryAt(time.Now().Add(10*time.Second)))
			b.drain(t, func(d *pipeline.Drain) { d.Linger = time.Millisecond })
			time.Sleep(10 * time.Second)
		}, []string{"b"}},
		"failed before": {func(t *testing.T, b *laneBed) {
			t.Helper()
			b.failing("a", 1, 1, errBad)
			b.drain(t, func(d *pipeline.Drain) { d.Linger = time.Millisecond })
			time.Sleep(10 * time.Second)
		}, []string{"b"}},
		"put back": {func(t *testing.T, b *laneBed) {
			t.Helper()
			b.failing("a", 1, 1, omnibox.Permanent(errBad))
			b.drain(t)
			require.True(t, b.table.Replay(b.table.Rows()[0].ID))
		}, []string{"b"}},
		"marked before": {func(t *testing.T, b *laneBed) {
			t.Helper()
			c, events := b.fetched(t)
			require.NoError(t, c.Mark(t.Context(), []*omnibox.Event{&events[0]}))
			require.NoError(t, c.Release(t.Context()))
		}, []string{"b"}},
		"its drain did not end": {func(t *testing.T, b *laneBed) {
			t.Helper()
			b.fetched(t)
			b.table.Expire()
		}, nil},
		"its workflow did not end": {func(t *testing.T, b *laneBed) {
			t.Helper()
			keys, _ := b.assign(t, pipeline.Wave{Slots: all(), Most: 1})
			require.Equal(t, []string{"a"}, keys)
			b.table.Expire()
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLaneBedWith(store.Escalation{}, store.LaneConfig{Budget: -1, InFlight: 100})

				b.enqueue(1, 1, "a")
				test.make(t, b)
				b.enqueue(2, 2, "b")
				keys, backlog := b.assign(t, wave())
				require.Equal(t, test.want, keys)
				require.True(t, backlog)
				b.drain(t)
				require.Equal(t, []int{1}, b.sent("a"))
			})
		})
	}
}

// Nothing holds its key for it where others may overtake it.
func TestAssignLeavesWhatFailedBeforeAndHoldsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBedOn(store.Config{Owner: "a", BehindFailure: "skip"})

		b.cfg.Lane = b.ports.Lane(store.LaneConfig{Budget: -1, InFlight: 100})
		b.failing("a", 1, 1, errBad)
		b.enqueue(1, 1, "a")
		b.drain(t, func(d *pipeline.Drain) { d.Linger = time.Millisecond })
		time.Sleep(10 * time.Second)
		assigned, backlog, err := pipeline.New(b.cfg).Assign(t.Context(), wave())
		require.NoError(t, err)
		require.Empty(t, assigned)
		require.True(t, backlog)
	})
}

// A drain ends out of order just when the look for suspects is over.
//
// trap: 12
func TestAssignLeavesSuspectsThatComeLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		b.enqueue(1, 1, "a", "b")
		b.lane.suspects = func() error {
			b.fetched(t)
			b.table.Expire()
			return nil
		}
		keys, backlog := b.assign(t, wave())
		require.Empty(t, keys)
		require.True(t, backlog)
	})
}

func TestAssignWhilePaused(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]func(b *laneBed){
		"before":    func(b *laneBed) { b.table.Pause(true) },
		"meanwhile": func(b *laneBed) { b.ports.fetch = func(omnibox.Claim) { b.table.Pause(true) } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLaneBed()

				written := b.enqueue(1, 1, "a")
				pause(b)
				keys, backlog := b.assign(t, wave())
				require.Empty(t, keys)
				require.False(t, backlog)
				b.table.Pause(false)
				b.untouched(t, written)
			})
		})
	}
}

// Another takes the slots between the fetch and the handing over: it has the
// events, and no workflow does.
//
// trap: 9
func TestAssignWhoseLeaseIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		b.enqueue(1, 1, "a")
		var taken []omnibox.Event
		b.ports.after = func([]omnibox.Event) {
			b.table.Expire()
			_, taken = b.fetched(t)
		}
		keys, backlog := b.assign(t, wave())
		require.Empty(t, keys)
		require.False(t, backlog)
		require.Len(t, taken, 1)
		require.NoError(t, b.table.Open(store.Config{Owner: "next"}).Commit(t.Context(), []omnibox.Outcome{{Event: &taken[0], Verdict: omnibox.Completed}}))
		require.Equal(t, omnibox.StatusCompleted, b.row(t, taken[0].ID).Status)
	})
}

// An error of the database is the caller's, and leaves nothing behind.
func TestAssignTellsOfErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newLaneBed()

		written := b.enqueue(1, 1, "a")
		b.lane.suspects = func() error { return errBad }
		assigned, backlog, err := pipeline.New(b.cfg).Assign(t.Context(), wave())
		require.ErrorIs(t, err, errBad)
		require.Empty(t, assigned)
		require.False(t, backlog)
		b.untouched(t, written)
	})
}
