package kafka

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/broker"
)

func aClaim(id int32) *claim {
	return &claim{Partition: broker.Partition{Topic: "t", ID: id}, revoked: make(chan struct{})}
}

func some(id int32, from, n int64) []broker.Message {
	out := make([]broker.Message, n)
	for i := range out {
		out[i] = broker.Message{Topic: "t", Partition: id, Offset: from + int64(i)}
	}
	return out
}

// While a poll is in hand the next one gathers, and no more than that.
func TestPollsFillUpUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(10)
		claims := []*claim{aClaim(0), aClaim(1), aClaim(2)}
		for _, c := range claims {
			go func() {
				for offset := int64(0); offset < 40; offset += 4 {
					l.put(t.Context(), c, some(c.ID, offset, 4))
				}
			}()
		}
		next := make(map[int32]int64)
		sizes := 0
		for sizes < 120 {
			synctest.Wait() // every claim has put what it may
			require.LessOrEqual(t, l.waiting, pollsInLine*10+3, "the line is bounded")
			p := l.take(t.Context())
			require.Len(t, p.messages, 10)
			for _, m := range p.messages {
				require.Equal(t, next[m.Partition], m.Offset)
				next[m.Partition]++
			}
			sizes += len(p.messages)
			l.done(p)
		}
	})
}

func TestFewMessagesDoNotWaitForMore(t *testing.T) {
	t.Parallel()
	l := newLine(10)
	l.put(t.Context(), aClaim(0), some(0, 5, 1))
	require.Len(t, l.take(t.Context()).messages, 1)
}

// While a poll is in hand, what waits of its claims stays, and others are taken
// once they fill a poll.
func TestTwoPollsHaveNoClaimInCommon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(4)
		a, b := aClaim(0), aClaim(1)
		l.put(t.Context(), a, some(0, 0, 4))
		first := l.take(t.Context())
		require.Equal(t, some(0, 0, 4), first.messages)
		l.put(t.Context(), a, some(0, 4, 4))
		l.put(t.Context(), b, some(1, 0, 3))
		second := make(chan *poll, 1)
		go func() { second <- l.take(t.Context()) }()
		synctest.Wait()
		require.Empty(t, second, "three of four gather")
		l.put(t.Context(), b, some(1, 3, 1))
		require.Equal(t, some(1, 0, 4), (<-second).messages)
		l.put(t.Context(), b, some(1, 4, 2))
		l.done(first)
		require.Equal(t, some(0, 4, 4), l.take(t.Context()).messages)
	})
}

// A claim that waits for room hears that it is revoked; what it left behind goes
// with it, but not before what is in hand is done.
func TestARevokedClaimLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(4)
		gone, stays := aClaim(0), aClaim(1)
		l.put(t.Context(), gone, some(0, 0, 4))
		inHand := l.take(t.Context())
		require.Len(t, inHand.messages, 4)
		l.put(t.Context(), gone, some(0, 4, 4))
		l.put(t.Context(), gone, some(0, 8, 4))
		l.put(t.Context(), gone, some(0, 12, 4))
		put := make(chan bool, 1)
		go func() { put <- l.put(t.Context(), gone, some(0, 16, 4)) }()
		synctest.Wait()
		require.Empty(t, put, "the line is full")
		close(gone.revoked)
		require.False(t, <-put)
		left := make(chan struct{})
		go func() { l.leave(gone); close(left) }()
		synctest.Wait()
		require.False(t, isClosed(left), "it is in hand")
		l.put(t.Context(), stays, some(1, 0, 1))
		l.done(inHand)
		<-left
		require.Equal(t, some(1, 0, 1), l.take(t.Context()).messages)
		require.Zero(t, l.waiting)
	})
}

func TestAPausedLineHandsOutNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(4)
		l.change(func() { l.paused = true })
		l.put(t.Context(), aClaim(0), some(0, 0, 1))
		ctx, cancel := context.WithCancel(t.Context())
		taken := make(chan *poll, 1)
		go func() { taken <- l.take(ctx) }()
		synctest.Wait()
		require.Empty(t, taken)
		l.change(func() { l.paused = false })
		require.Len(t, (<-taken).messages, 1)
		l.change(func() { l.paused = true })
		l.put(t.Context(), aClaim(0), some(0, 1, 1))
		go func() { taken <- l.take(ctx) }()
		synctest.Wait()
		cancel()
		require.Nil(t, <-taken)
	})
}

// Hands never get an empty poll, however few messages there are.
func TestEveryPollHasAMessage(t *testing.T) {
	t.Parallel()
	c := &Consumer{line: newLine(10)}
	ctx, cancel := context.WithCancel(t.Context())
	const n = 20_000
	got, empty := 0, 0
	var mu sync.Mutex
	ended := make(chan error, 1)
	go func() {
		ended <- c.deliver(ctx, ctx, func(_ context.Context, p []broker.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if len(p) == 0 {
				empty++
			}
			if got += len(p); got == n {
				cancel()
			}
			return nil
		})
	}()
	claims := []*claim{aClaim(0), aClaim(1)}
	for i := range int64(n) {
		c.line.put(ctx, claims[i%2], some(claims[i%2].ID, i, 1))
	}
	require.NoError(t, <-ended)
	require.Equal(t, n, got)
	require.Zero(t, empty)
}

// When a call fails, what is behind it in its partition is not handed out.
func TestNothingIsHandedOutBehindAFailure(t *testing.T) {
	t.Parallel()
	for range 2000 {
		c := &Consumer{line: newLine(4)}
		a := aClaim(0)
		c.line.put(t.Context(), a, some(0, 0, 4))
		c.line.put(t.Context(), a, some(0, 4, 4))
		var calls atomic.Int32
		err := c.deliver(t.Context(), t.Context(), func(context.Context, []broker.Message) error {
			calls.Add(1)
			return errDown
		})
		require.ErrorIs(t, err, errDown)
		require.Equal(t, int32(1), calls.Load())
	}
}

var errDown = errors.New("down")
