package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

// ConsumerFeatures is what makes consumers to test and what can be done to their
// broker. Tests that need what is nil are skipped.
type ConsumerFeatures struct {
	// Consumer makes a fresh one.
	Consumer func(t *testing.T, sub broker.Subscription) broker.Consumer
	// Topic exists, is empty, and has three partitions. It takes messages of
	// three MiB.
	Topic string
	// Missing is a topic that does not exist until Create makes it, with one
	// partition.
	Missing string
	Create  func(t *testing.T)
	// Append publishes messages to the partitions that they name, in their order.
	Append func(t *testing.T, messages ...broker.Message)
	// SetDown makes the broker unreachable, and reachable again.
	SetDown func(t *testing.T, down bool)
}

// RunConsumers runs the suite of consumers, with features of its own for each
// test.
func RunConsumers(t *testing.T, features func(t *testing.T) ConsumerFeatures) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, ConsumerFeatures)
	}{
		{"HandsOutMessagesAsTheyAre", handsOutMessagesAsTheyAre},
		{"TakesLargeMessages", takesLargeMessages},
		{"KeepsTheOrderOfAPartition", keepsTheOrderOfAPartition},
		{"CommitsNothingByItself", commitsNothingByItself},
		{"GoesOnBehindWhatIsCommitted", goesOnBehindWhatIsCommitted},
		{"CommitsNothingTwice", commitsNothingTwice},
		{"BeginsWithTheLatest", beginsWithTheLatest},
		{"EndsWithItsHandler", endsWithItsHandler},
		{"SharesPartitions", sharesPartitions},
		{"GivesUpNothingThatIsInHand", givesUpNothingThatIsInHand},
		{"DropsCommitsOfWhatIsNotIts", dropsCommitsOfWhatIsNotIts},
		{"Pauses", pauses},
		{"KnowsWhereItIs", knowsWhereItIs},
		{"GoesOnWithoutAMissingTopic", goesOnWithoutAMissingTopic},
		{"WaitsForItsBroker", waitsForItsBroker},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, features(t))
		})
	}
}

func (f ConsumerFeatures) subscription() broker.Subscription {
	return broker.Subscription{Group: "group-of-" + f.Topic, Topics: []string{f.Topic}}
}

// member is a consumer at work.
type member struct {
	broker.Consumer
	stop func() error // ends it, and waits

	mu  sync.Mutex
	got []broker.Message
}

// start runs a consumer that remembers what it gets. The handler may be nil.
func (f ConsumerFeatures) start(t *testing.T, sub broker.Subscription, handle func(ctx context.Context, m *member, poll []broker.Message) error) *member {
	t.Helper()
	m := &member{Consumer: f.Consumer(t, sub)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- m.Run(ctx, func(ctx context.Context, poll []broker.Message) error {
			m.mu.Lock()
			m.got = append(m.got, poll...)
			m.mu.Unlock()
			if handle == nil {
				return nil
			}
			return handle(ctx, m, poll)
		})
	}()
	m.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = m.stop() })
	return m
}

// all that it has got.
func (m *member) all() []broker.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]broker.Message(nil), m.got...)
}

// waitFor some messages.
func (m *member) waitFor(t *testing.T, n int) []broker.Message {
	t.Helper()
	eventually(t, func() bool { return len(m.all()) >= n }, func() string {
		return fmt.Sprintf("got %d of %d messages, %+v", len(m.all()), n, m.Status())
	})
	return m.all()
}

// commitAll is a handler.
func commitAll(ctx context.Context, m *member, poll []broker.Message) error {
	return m.Commit(ctx, last(poll))
}

// last offsets of a poll.
func last(poll []broker.Message) map[broker.Partition]int64 {
	out := make(map[broker.Partition]int64)
	for _, m := range poll {
		out[partitionOf(m)] = m.Offset
	}
	return out
}

func partitionOf(m broker.Message) broker.Partition {
	return broker.Partition{Topic: m.Topic, ID: m.Partition}
}

func eventually(t *testing.T, holds func() bool, report func() string) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			require.FailNow(t, "waited in vain", report())
		}
	}
}

// numbered messages, in turn to the three partitions.
func numbered(topic string, from, to int) []broker.Message {
	var out []broker.Message
	for i := from; i < to; i++ {
		out = append(out, broker.Message{Topic: topic, Partition: int32(i % 3), Value: fmt.Append(nil, i)})
	}
	return out
}

// requireOffsets asks for the first n messages of each partition: in order, none
// left out, none twice.
func requireOffsets(t *testing.T, got []broker.Message, n int64) {
	t.Helper()
	next := make(map[broker.Partition]int64)
	for _, m := range got {
		p := partitionOf(m)
		require.Equal(t, next[p], m.Offset, "of %v", p)
		next[p]++
	}
	require.Len(t, next, 3)
	for p, end := range next {
		require.Equal(t, n, end, "of %v", p)
	}
}

func handsOutMessagesAsTheyAre(t *testing.T, f ConsumerFeatures) {
	want := []broker.Message{
		{Key: []byte("k"), Value: []byte{0, 0xff, 10}, Headers: []broker.Header{
			{Key: "b", Value: []byte("1")}, {Key: "a", Value: []byte{0xfe}}, {Key: "b"}, {Key: "b", Value: []byte("1")}, {Key: "", Value: []byte("x")},
		}},
		{Value: []byte("no key")},
		{Key: []byte("tombstone")},
		{Key: []byte{}, Value: []byte{}},
	}
	for i := range want {
		want[i].Topic, want[i].Partition = f.Topic, 1
	}
	before := time.Now().Add(-time.Minute)
	f.Append(t, want...)
	m := f.start(t, f.subscription(), nil)
	got := m.waitFor(t, len(want))
	require.NoError(t, m.stop())
	for i, g := range got {
		w := want[i]
		require.Equal(t, broker.Partition{Topic: f.Topic, ID: 1}, partitionOf(g))
		require.Equal(t, int64(i), g.Offset)
		require.True(t, g.Time.After(before), "%v", g.Time)
		require.Equal(t, w.Key == nil, g.Key == nil, "key of message %d", i)
		require.Equal(t, w.Value == nil, g.Value == nil, "value of message %d", i)
		require.Equal(t, string(w.Key), string(g.Key))
		require.Equal(t, string(w.Value), string(g.Value))
		require.Len(t, g.Headers, len(w.Headers))
		for j := range w.Headers {
			require.Equal(t, w.Headers[j].Key, g.Headers[j].Key)
			require.Equal(t, w.Headers[j].Value == nil, g.Headers[j].Value == nil, "value of header %d", j)
			require.Equal(t, string(w.Headers[j].Value), string(g.Headers[j].Value))
		}
	}
}

func takesLargeMessages(t *testing.T, f ConsumerFeatures) {
	value := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16-64)
	f.Append(t, broker.Message{Topic: f.Topic, Value: []byte("small")}, broker.Message{Topic: f.Topic, Value: value}, broker.Message{Topic: f.Topic, Value: []byte("small")})
	got := f.start(t, f.subscription(), nil).waitFor(t, 3)
	require.True(t, bytes.Equal(value, got[1].Value), "%d bytes", len(got[1].Value))
}

func keepsTheOrderOfAPartition(t *testing.T, f ConsumerFeatures) {
	f.Append(t, numbered(f.Topic, 0, 3000)...)
	sub := f.subscription()
	sub.MaxPoll = 70
	var handling atomic.Int32
	most, atOnce := 0, int32(0)
	m := f.start(t, sub, func(_ context.Context, _ *member, poll []broker.Message) error {
		defer handling.Add(-1)
		most, atOnce = max(most, len(poll)), max(atOnce, handling.Add(1))
		return nil
	})
	f.Append(t, numbered(f.Topic, 3000, 6000)...)
	m.waitFor(t, 6000)
	require.NoError(t, m.stop())
	requireOffsets(t, m.all(), 2000)
	require.LessOrEqual(t, most, 70)
	require.Equal(t, int32(1), atOnce)
}

// trap: 26
func commitsNothingByItself(t *testing.T, f ConsumerFeatures) {
	f.Append(t, numbered(f.Topic, 0, 30)...)
	for range 2 {
		m := f.start(t, f.subscription(), nil)
		m.waitFor(t, 30)
		require.NoError(t, m.stop())
		requireOffsets(t, m.all(), 10)
	}
}

// trap: 26
func goesOnBehindWhatIsCommitted(t *testing.T, f ConsumerFeatures) {
	f.Append(t, numbered(f.Topic, 0, 30)...)
	m := f.start(t, f.subscription(), nil)
	m.waitFor(t, 30)
	require.NoError(t, m.Commit(t.Context(), map[broker.Partition]int64{{Topic: f.Topic, ID: 0}: 3, {Topic: f.Topic, ID: 1}: 9}))
	require.NoError(t, m.stop())
	m = f.start(t, f.subscription(), nil)
	m.waitFor(t, 16)
	f.Append(t, numbered(f.Topic, 30, 33)...)
	got := m.waitFor(t, 19)
	require.NoError(t, m.stop())
	next := map[int32]int64{0: 4, 1: 10, 2: 0}
	for _, g := range got {
		require.Equal(t, next[g.Partition], g.Offset, "of partition %d", g.Partition)
		next[g.Partition]++
	}
	require.Equal(t, map[int32]int64{0: 11, 1: 11, 2: 11}, next)
}

func commitsNothingTwice(t *testing.T, f ConsumerFeatures) {
	p := broker.Partition{Topic: f.Topic, ID: 2}
	f.Append(t, numbered(f.Topic, 0, 30)...)
	m := f.start(t, f.subscription(), nil)
	m.waitFor(t, 30)
	for _, offset := range []int64{7, 4} { // the second one says nothing new
		require.NoError(t, m.Commit(t.Context(), map[broker.Partition]int64{p: offset}))
	}
	require.NoError(t, m.Commit(t.Context(), nil))
	require.NoError(t, m.stop())
	m = f.start(t, f.subscription(), nil)
	got := m.waitFor(t, 22)
	require.NoError(t, m.stop())
	require.Len(t, got, 22)
}

func beginsWithTheLatest(t *testing.T, f ConsumerFeatures) {
	f.Append(t, numbered(f.Topic, 0, 30)...)
	sub := f.subscription()
	sub.From = broker.Latest
	m := f.start(t, sub, commitAll)
	eventually(t, func() bool {
		for _, a := range m.Status().Assigned {
			if a.Position != 10 {
				return false
			}
		}
		return len(m.Status().Assigned) == 3
	}, func() string { return fmt.Sprint(m.Status()) })
	f.Append(t, numbered(f.Topic, 30, 60)...)
	for _, g := range m.waitFor(t, 30) {
		require.GreaterOrEqual(t, g.Offset, int64(10))
	}
	require.NoError(t, m.stop())
	m = f.start(t, f.subscription(), nil)
	f.Append(t, numbered(f.Topic, 60, 63)...)
	for _, g := range m.waitFor(t, 3) {
		require.Equal(t, int64(20), g.Offset, "what is committed counts more than where to begin")
	}
}

func endsWithItsHandler(t *testing.T, f ConsumerFeatures) {
	f.Append(t, numbered(f.Topic, 0, 3)...)
	broken := errors.New("handler is broken")
	c := f.Consumer(t, f.subscription())
	require.ErrorIs(t, c.Run(t.Context(), func(context.Context, []broker.Message) error { return broken }), broken)
	require.Empty(t, c.Status().Assigned)
	require.Error(t, c.Run(t.Context(), func(context.Context, []broker.Message) error { return nil }), "a consumer runs once")
	requireOffsets(t, f.start(t, f.subscription(), nil).waitFor(t, 3), 1)
}

func sharesPartitions(t *testing.T, f ConsumerFeatures) {
	var mu sync.Mutex
	var handled []broker.Message
	handle := func(ctx context.Context, m *member, poll []broker.Message) error {
		mu.Lock()
		handled = append(handled, poll...)
		mu.Unlock()
		return m.Commit(ctx, last(poll))
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
	f.Append(t, numbered(f.Topic, 0, 3)...)
	var mu sync.Mutex
	committed := make(map[broker.Partition]bool)
	early := false
	var second *member
	joined := make(chan struct{})
	first := f.start(t, f.subscription(), func(ctx context.Context, m *member, poll []broker.Message) error {
		select {
		case <-joined:
		case <-ctx.Done():
			return nil
		}
		for end := time.Now().Add(5 * short); time.Now().Before(end) && len(second.all()) == 0; {
			time.Sleep(time.Millisecond)
		}
		mu.Lock()
		for p := range last(poll) {
			committed[p] = true
		}
		mu.Unlock()
		return m.Commit(ctx, last(poll))
	})
	first.waitFor(t, 1)
	second = f.start(t, f.subscription(), func(ctx context.Context, m *member, poll []broker.Message) error {
		mu.Lock()
		defer mu.Unlock()
		for _, g := range poll {
			early = early || !committed[partitionOf(g)] && g.Offset == 0 && g.Partition == first.all()[0].Partition
		}
		return m.Commit(ctx, last(poll))
	})
	close(joined)
	eventually(t, func() bool { return len(second.Status().Assigned) > 0 }, func() string { return fmt.Sprint(second.Status()) })
	f.Append(t, numbered(f.Topic, 3, 30)...)
	eventually(t, func() bool { return len(first.all())+len(second.all()) >= 30 }, func() string { return "messages are missing" })
	require.NoError(t, first.stop())
	require.NoError(t, second.stop())
	require.False(t, early, "a message was handed out that another member had in hand")
	require.Equal(t, 30, len(first.all())+len(second.all()), "a message came twice")
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

func knowsWhereItIs(t *testing.T, f ConsumerFeatures) {
	f.Append(t, numbered(f.Topic, 0, 30)...)
	m := f.start(t, f.subscription(), nil)
	m.waitFor(t, 30)
	require.NoError(t, m.Commit(t.Context(), map[broker.Partition]int64{{Topic: f.Topic, ID: 1}: 4}))
	var want []broker.Assignment
	for id, committed := range []int64{-1, 5, -1} {
		want = append(want, broker.Assignment{
			Partition: broker.Partition{Topic: f.Topic, ID: int32(id)}, Position: 10, Committed: committed, HighWater: 10,
		})
	}
	require.Equal(t, broker.ConsumerStatus{Assigned: want}, m.Status())
	require.NoError(t, m.stop())
	require.Empty(t, m.Status().Assigned)
}

func goesOnWithoutAMissingTopic(t *testing.T, f ConsumerFeatures) {
	f.Append(t, numbered(f.Topic, 0, 30)...)
	sub := f.subscription()
	sub.Topics = []string{f.Missing, f.Topic}
	m := f.start(t, sub, commitAll)
	m.waitFor(t, 30)
	require.ErrorContains(t, m.Status().Err, fmt.Sprintf("topic %q does not exist", f.Missing))
	f.Create(t)
	f.Append(t, broker.Message{Topic: f.Missing, Value: []byte("here")})
	f.Append(t, numbered(f.Topic, 30, 33)...)
	m.waitFor(t, 34)
	eventually(t, func() bool { return m.Status().Err == nil }, func() string { return m.Status().Err.Error() })
	require.NoError(t, m.stop())
	require.Len(t, m.all(), 34)
}

func waitsForItsBroker(t *testing.T, f ConsumerFeatures) {
	if f.SetDown == nil {
		t.Skip("the broker cannot be stopped")
	}
	f.Append(t, numbered(f.Topic, 0, 30)...)
	f.SetDown(t, true)
	m := f.start(t, f.subscription(), commitAll)
	eventually(t, func() bool { return m.Status().Err != nil }, func() string { return "the outage does not show" })
	f.SetDown(t, false)
	m.waitFor(t, 30)
	eventually(t, func() bool { return m.Status().Err == nil }, func() string { return m.Status().Err.Error() })
	f.SetDown(t, true)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if err := m.Commit(ctx, map[broker.Partition]int64{{Topic: f.Topic, ID: 0}: 9}); err != nil {
		require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err), "%v", err)
	}
	eventually(t, func() bool { return m.Status().Err != nil }, func() string { return "the outage does not show" })
	f.SetDown(t, false)
	f.Append(t, numbered(f.Topic, 30, 60)...)
	eventually(t, func() bool {
		for _, g := range m.all() {
			if g.Offset == 19 {
				return true
			}
		}
		return false
	}, func() string { return fmt.Sprintf("%+v", m.Status()) })
	f.SetDown(t, true)
	require.NoError(t, m.stop(), "also while the broker is down")
	f.SetDown(t, false)
}
