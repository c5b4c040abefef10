package brokertest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/broker"
)

func sharesPartitions(t *testing.T, f ConsumerFeatures) {
	var mu sync.Mutex
	var handled []broker.Message
	handle := func(ctx context.Context, m *member, poll []broker.Message) error {
		mu.Lock()
		handled = append(handled, poll...)
		mu.Unlock()
		return commitAll(ctx, m, poll)
	}
	sent := 0
	more := func() {
		f.Append(t, numbered(f.Topic, sent, sent+30)...)
		sent += 30
	}
	first := f.start(t, f.subscription(), handle)
	more()
	first.waitFor(t, 30)
	second := f.start(t, f.subscription(), handle)
	eventually(t, func() bool {
		more()
		return len(second.all()) > 0
	}, func() string { return "the second member gets nothing" })
	shared := len(first.all())
	eventually(t, func() bool {
		more()
		return len(first.all()) > shared
	}, func() string { return "the first member gets nothing any more" })
	require.NoError(t, first.stop())
	require.Empty(t, first.Status().Assigned)
	more()
	eventually(t, func() bool { return len(first.all())+len(second.all()) >= sent }, func() string {
		return fmt.Sprintf("%d and %d of %d", len(first.all()), len(second.all()), sent)
	})
	require.NoError(t, second.stop())
	requireOffsets(t, handled, int64(sent/3))
}

func givesUpNothingThatIsInHand(t *testing.T, f ConsumerFeatures) {
	var mu sync.Mutex
	inHand := make(map[broker.Partition]int64) // of the first member: what it is about to commit
	held, early := false, false
	sent := 0
	more := func() {
		f.Append(t, numbered(f.Topic, sent, sent+3)...)
		sent += 3
	}
	next, hold, joined := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	var second *member
	first := f.start(t, f.subscription(), func(ctx context.Context, m *member, poll []broker.Message) error {
		switch {
		case held:
		case len(last(poll)) < 3: // wait for a poll of all partitions
			select {
			case <-next:
			case <-ctx.Done():
			}
		default:
			held = true
			mu.Lock()
			for _, g := range poll {
				if _, ok := inHand[partitionOf(g)]; !ok {
					inHand[partitionOf(g)] = g.Offset
				}
			}
			mu.Unlock()
			close(hold)
			<-joined
			for end := time.Now().Add(10 * short); time.Now().Before(end) && len(second.all()) == 0; {
				time.Sleep(time.Millisecond)
			}
			mu.Lock()
			clear(inHand)
			mu.Unlock()
		}
		return commitAll(ctx, m, poll)
	})
	eventually(t, func() bool {
		more()
		select {
		case next <- struct{}{}:
		default:
		}
		select {
		case <-hold:
			return true
		default:
			return false
		}
	}, func() string { return "no poll has all partitions" })
	second = f.start(t, f.subscription(), func(ctx context.Context, m *member, poll []broker.Message) error {
		mu.Lock()
		for _, g := range poll {
			from, ok := inHand[partitionOf(g)]
			early = early || ok && g.Offset >= from
		}
		mu.Unlock()
		return commitAll(ctx, m, poll)
	})
	close(joined)
	eventually(t, func() bool { return len(second.Status().Assigned) > 0 }, func() string { return fmt.Sprint(second.Status()) })
	more()
	eventually(t, func() bool { return len(first.all())+len(second.all()) >= sent }, func() string { return "messages are missing" })
	require.NoError(t, first.stop())
	require.NoError(t, second.stop())
	require.False(t, early, "a message was handed out that another member had in hand")
	require.Len(t, append(first.all(), second.all()...), sent, "a message came twice")
}

func dropsCommitsOfWhatIsNotIts(t *testing.T, f ConsumerFeatures) {
	f.Append(t, numbered(f.Topic, 0, 30)...)
	everything := map[broker.Partition]int64{{Topic: f.Topic, ID: 0}: 9, {Topic: f.Topic, ID: 1}: 9, {Topic: f.Topic, ID: 2}: 9, {Topic: "other", ID: 0}: 5}
	fresh := f.Consumer(t, f.subscription())
	require.NoError(t, fresh.Commit(t.Context(), everything), "before the run")
	m := f.start(t, f.subscription(), nil)
	m.waitFor(t, 30)
	require.NoError(t, m.stop())
	require.NoError(t, m.Commit(t.Context(), everything), "after the run")
	m = f.start(t, f.subscription(), nil)
	m.waitFor(t, 30)
	require.NoError(t, m.Commit(t.Context(), everything), "with one that is not ours")
	require.NoError(t, m.stop())
	f.Append(t, numbered(f.Topic, 30, 33)...)
	for _, g := range f.start(t, f.subscription(), nil).waitFor(t, 3) {
		require.Equal(t, int64(10), g.Offset)
	}
}

func pauses(t *testing.T, f ConsumerFeatures) {
	sub := f.subscription()
	sub.MaxPoll = 10
	m := f.start(t, sub, commitAll)
	f.Append(t, numbered(f.Topic, 0, 30)...)
	m.waitFor(t, 30)
	m.Pause()
	require.True(t, m.Status().Paused)
	f.Append(t, numbered(f.Topic, 30, 9000)...)
	eventually(t, func() bool {
		lag := int64(0)
		for _, a := range m.Status().Assigned {
			lag += a.Lag()
		}
		return lag == 8970
	}, func() string { return fmt.Sprintf("the lag shows during a pause: %+v", m.Status()) })
	require.Len(t, m.all(), 30)
	// It has stayed in the group: what another one gets is not what it keeps.
	other := f.start(t, sub, commitAll)
	eventually(t, func() bool {
		mine, others := len(m.Status().Assigned), len(other.Status().Assigned)
		return mine > 0 && others > 0 && mine+others == 3
	}, func() string { return fmt.Sprint(m.Status(), other.Status()) })
	require.Len(t, m.all(), 30)
	m.Resume()
	eventually(t, func() bool { return len(m.all())+len(other.all()) >= 9000 }, func() string {
		return fmt.Sprint(len(m.all()), len(other.all()), m.Status(), other.Status())
	})
	require.NoError(t, m.stop())
	require.NoError(t, other.stop())
	require.Greater(t, len(m.all()), 30)
	require.Equal(t, 9000, len(m.all())+len(other.all()), "a message came twice")
}
