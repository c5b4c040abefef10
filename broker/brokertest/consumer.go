package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
		{"TakesNoCommitBack", takesNoCommitBack},
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

	mu   sync.Mutex
	got  []broker.Message
	over bool
}

// start runs a consumer that remembers what it gets. The handler may be nil.
func (f ConsumerFeatures) start(t *testing.T, sub broker.Subscription, handle func(ctx context.Context, m *member, poll []broker.Message) error) *member {
	t.Helper()
	m := &member{Consumer: f.Consumer(t, sub)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := m.Run(ctx, func(ctx context.Context, poll []broker.Message) error {
			m.mu.Lock()
			m.got = append(m.got, poll...)
			m.mu.Unlock()
			if handle == nil {
				return nil
			}
			return handle(ctx, m, poll)
		})
		m.mu.Lock()
		m.over = true
		m.mu.Unlock()
		ended <- err
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
	eventually(t, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		require.False(t, m.over && len(m.got) < n, "it has ended")
		return len(m.got) >= n
	}, func() string {
		return fmt.Sprintf("got %d of %d messages, %+v", len(m.all()), n, m.Status())
	})
	return m.all()
}

// commitAll is a handler. Also while the member leaves, it can commit.
func commitAll(ctx context.Context, m *member, poll []broker.Message) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
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
	var mu sync.Mutex
	most, inHand, shared := 0, map[int32]int{}, false
	count := func(poll []broker.Message, by int) {
		mu.Lock()
		defer mu.Unlock()
		most = max(most, len(poll))
		for id := range partitionsOf(poll) {
			inHand[id] += by
			shared = shared || inHand[id] > 1
		}
	}
	m := f.start(t, sub, func(_ context.Context, _ *member, poll []broker.Message) error {
		count(poll, 1)
		defer count(poll, -1)
		time.Sleep(time.Millisecond) // so that calls overlap, if they may
		return nil
	})
	f.Append(t, numbered(f.Topic, 3000, 6000)...)
	m.waitFor(t, 6000)
	require.NoError(t, m.stop())
	requireOffsets(t, m.all(), 2000)
	require.LessOrEqual(t, most, 70)
	require.False(t, shared, "two calls had messages of one partition")
}

// partitionsOf are those of a poll, by number.
func partitionsOf(poll []broker.Message) map[int32]bool {
	all := map[int32]bool{}
	for _, m := range poll {
		all[m.Partition] = true
	}
	return all
}

// trap: 26
func commitsNothingByItself(t *testing.T, f ConsumerFeatures) {
	f.Append(t, numbered(f.Topic, 0, 30)...)
	m := f.start(t, f.subscription(), nil)
	m.waitFor(t, 30)
	require.NoError(t, m.stop())
	f.Append(t, numbered(f.Topic, 30, 33)...)
	m = f.start(t, f.subscription(), nil)
	eventually(t, func() bool {
		end := 0
		for _, g := range m.all() {
			if g.Offset == 10 {
				end++
			}
		}
		return end == 3
	}, func() string { return fmt.Sprintf("%+v", m.Status()) })
	require.NoError(t, m.stop())
	requireOffsets(t, m.all(), 11)
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

func takesNoCommitBack(t *testing.T, f ConsumerFeatures) {
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
			if a.Position != 10 || a.Committed != 10 {
				return false
			}
		}
		return len(m.Status().Assigned) == 3
	}, func() string { return fmt.Sprint(m.Status()) })
	require.NoError(t, m.stop())
	require.Empty(t, m.all())
	f.Append(t, numbered(f.Topic, 30, 60)...) // while nobody is there
	m = f.start(t, sub, commitAll)
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
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.ErrorIs(t, c.Run(ctx, func(context.Context, []broker.Message) error { return broken }), broken)
	require.Empty(t, c.Status().Assigned)
	require.Error(t, c.Run(t.Context(), func(context.Context, []broker.Message) error { return nil }), "a consumer runs once")
	requireOffsets(t, f.start(t, f.subscription(), nil).waitFor(t, 3), 1)
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
