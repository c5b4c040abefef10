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
)

// crash runs a drain whose process dies when event n of key a is handled: it
// settles, extends and releases nothing any more. It returns the numbers that
// were handled together with n.
func (b *bed) crash(t *testing.T, n int) (with []int) {
	t.Helper()
	var dead atomic.Bool
	die := func() error {
		if dead.Load() {
			return omnibox.ErrLeaseLost
		}
		return nil
	}
	b.ports.commit = func([]omnibox.Outcome) error { return die() }
	b.ports.extend = die
	b.ports.keep = dead.Load
	b.cfg.Handler = handleFunc(func(ctx context.Context, events []*omnibox.Event) []error {
		if dead.Load() {
			return slices.Repeat([]error{omnibox.ErrNotSent}, len(events))
		}
		for _, e := range events {
			if e.Key == "a" && number(e) == n {
				dead.Store(true)
			}
			with = append(with, number(e))
		}
		if dead.Load() {
			return slices.Repeat([]error{omnibox.ErrNotSent}, len(events))
		}
		with = nil
		return b.sink.Handle(ctx, events)
	})
	b.drain(t, func(d *pipeline.Drain) { d.Slice = time.Minute })
	b.table.Expire()
	return with
}

// An event that kills its worker is dead after MaxFetches deliveries alone; what
// is with it in a batch, and behind it, is delivered and has cost nothing.
//
// trap: 12
func TestPoisonIsFoundAndInnocentsPayNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.Batch = 4
		events := b.enqueue(1, 3, "a", "b", "c")
		poison := events[3] // number 2 of key a
		require.NotEmpty(t, b.crash(t, 2))
		for range pipeline.MaxFetches {
			with := b.crash(t, 2)
			if b.row(t, poison.ID).Fetches > 1 {
				require.Equal(t, []int{2}, with, "alone from its second mark on")
			}
		}
		require.Equal(t, pipeline.MaxFetches, b.row(t, poison.ID).Fetches, "marked before it is handled")
		require.Equal(t, omnibox.StatusPending, b.row(t, poison.ID).Status)
		require.Empty(t, b.crash(t, 2), "it is dead before it is handled once more")

		letters := b.table.DeadLetters()
		require.Len(t, letters, 1)
		require.Equal(t, poison.ID, letters[0].ID)
		require.Equal(t, omnibox.ClassPoison, letters[0].Class)
		require.Zero(t, letters[0].Attempts)
		require.Equal(t, []int{1, 3}, firsts(b.sent("a")))
		for _, e := range events {
			if e.ID != poison.ID {
				r := b.row(t, e.ID)
				require.Equal(t, omnibox.StatusCompleted, r.Status)
				require.Zero(t, r.Attempts)
			}
		}
		for _, key := range []string{"b", "c"} {
			require.Equal(t, upTo(3), firsts(b.sent(key)))
		}
	})
}

func TestSuspectsAreMarkedBeforeTheyAreHandled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		events := b.enqueue(1, 3, "a")
		b.suspect(t)
		marked := 0
		b.ports.mark = func(events []*omnibox.Event) { marked += len(events) }
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			require.Equal(t, 3, marked, "all of them in one write")
			require.Equal(t, 1, b.row(t, e.ID).Fetches)
			if number(e) == 2 {
				return pipeline.Stop, nil // an orderly end clears what is left
			}
			return pipeline.Next, nil
		})
		b.drain(t)
		b.untouched(t, events[1:])
	})
}

// What is behind a failed event of its key is released and must not be marked.
func TestSuspectsBehindAFailureAreNotMarked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.Batch = 1
		b.enqueue(1, 3, "a")
		b.suspect(t)
		b.refuse(1, errBad)
		seen := map[int]int{}
		b.ports.mark = func(events []*omnibox.Event) { seen[number(events[0])]++ }
		b.drain(t)
		require.Equal(t, []int{2, 3}, b.sent("a"))
		require.Equal(t, 1, seen[1])
		require.LessOrEqual(t, seen[2], 1)
		require.LessOrEqual(t, seen[3], 1)
	})
}
