package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/membroker"
	"github.com/omnibox-go/omnibox/inbox"
)

const landed = "orders"

// landingBed is a topic with messages, and a table for them.
type landingBed struct {
	broker *membroker.Broker
	table  *memTable
	lander inbox.Lander
}

func newLandingBed(t *testing.T, ack inbox.Ack, messages int) *landingBed {
	t.Helper()
	b := &landingBed{broker: membroker.New(), table: &memTable{rows: map[string]string{}}}
	t.Cleanup(func() { require.NoError(t, b.broker.Close()) })
	require.NoError(t, b.broker.CreateTopic(landed, 1))
	b.publish(0, messages)
	b.lander = inbox.Lander{
		Table: b.table, Ack: ack, MaxUncommitted: 100, Log: slog.New(slog.DiscardHandler),
		Read: func(m broker.Message) *omnibox.Event {
			return &omnibox.Event{ID: uuid.New(), Topic: m.Topic, Origin: &omnibox.Origin{MessageID: string(m.Value), Partition: m.Partition, Offset: m.Offset}}
		},
	}
	return b
}

// publish sends the messages from up to, but not, to.
func (b *landingBed) publish(from, to int) {
	for n := from; n < to; n++ {
		b.broker.Append(broker.Message{Topic: landed, Value: []byte("m" + strconv.Itoa(n))})
	}
}

// run lands until what is wanted is so; consumer, if any, wraps the real one.
func (b *landingBed) run(t *testing.T, until func() bool, wrap func(broker.Consumer, context.CancelFunc) broker.Consumer) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var c broker.Consumer
	c, err := b.broker.Consumer(broker.Subscription{Group: "g", Topics: []string{landed}, MaxPoll: 10})
	require.NoError(t, err)
	if wrap != nil {
		c = wrap(c, stop)
	}
	l := b.lander
	l.Consumer = c
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	require.Eventually(t, func() bool { return until() || ctx.Err() != nil }, time.Minute, 5*time.Millisecond)
	stop()
	if err := <-done; err != nil {
		t.Log(err) // of whoever died
	}
}

// committed is the offset behind the last committed one.
func (b *landingBed) committed(t *testing.T) int64 {
	t.Helper()
	var at int64
	b.run(t, func() bool { return false }, func(c broker.Consumer, stop context.CancelFunc) broker.Consumer {
		return &peeking{Consumer: c, at: &at, stop: stop}
	})
	return at
}

// peeking joins, sees what is committed, and leaves.
type peeking struct {
	broker.Consumer
	at   *int64
	stop context.CancelFunc
}

func (p *peeking) Run(ctx context.Context, _ func(context.Context, []broker.Message) error) error {
	return p.Consumer.Run(ctx, func(_ context.Context, poll []broker.Message) error {
		*p.at = poll[0].Offset
		p.stop()
		return errors.New("seen enough")
	})
}

// memTable is an inbox's table as far as landing sees it.
type memTable struct {
	mu     sync.Mutex
	rows   map[string]string // state by message id
	order  []string
	full   bool
	looks  int          // how often it was told how the consumer stands: once a look at what is handled
	before func() error // of each Land
	after  func()
}

func (m *memTable) Land(_ context.Context, events []*omnibox.Event) (out inbox.Landed, err error) {
	if m.before != nil {
		if err := m.before(); err != nil {
			return out, err
		}
	}
	m.mu.Lock()
	for _, e := range events {
		if _, there := m.rows[e.Origin.MessageID]; there {
			out.Duplicates++
			continue
		}
		out.New++
		m.rows[e.Origin.MessageID] = "pending"
		m.order = append(m.order, e.Origin.MessageID)
	}
	m.mu.Unlock()
	if m.after != nil {
		m.after()
	}
	return out, nil
}

func (m *memTable) Settled(_ context.Context, ids []string, dead bool) (map[string]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]bool{}
	for _, id := range ids {
		if state := m.rows[id]; state == "completed" || state == "dead" && dead {
			out[id] = true
		}
	}
	return out, nil
}

func (m *memTable) Full(context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.full, nil
}

func (m *memTable) Report(context.Context, broker.ConsumerStatus) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	return nil
}

func (m *memTable) looked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.looks
}

func (m *memTable) set(state string, ids ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		m.rows[id] = state
	}
}

func (m *memTable) ids() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.order)
}

func ids(from, to int) (all []string) {
	for n := from; n < to; n++ {
		all = append(all, fmt.Sprintf("m%d", n))
	}
	return all
}

// dying ends everything before, or after, a commit.
type dying struct {
	broker.Consumer
	stop  context.CancelFunc
	after bool
}

var errDied = errors.New("the process died")

func (d *dying) Commit(ctx context.Context, done map[broker.Partition]int64) error {
	defer d.stop()
	if d.after {
		return errors.Join(d.Consumer.Commit(ctx, done), errDied)
	}
	return errDied
}

// What docs/inbox.md says of a crash at every point, for each strategy. The
// process dies once at the point; another one then consumes what comes.
func TestACrashAtEveryPoint(t *testing.T) {
	t.Parallel()
	const n = 5
	for _, tt := range []struct {
		ack   inbox.Ack
		point string
		lost  bool // the messages of the poll are not in the table
	}{
		{inbox.AtMostOnce, "before commit", false},
		{inbox.AtMostOnce, "before land", true},
		{inbox.AtMostOnce, "after land", false},
		{inbox.OnPersist, "before land", false},
		{inbox.OnPersist, "after land", false},
		{inbox.OnPersist, "before commit", false},
		{inbox.OnPersist, "after commit", false},
		{inbox.OnSuccess, "before land", false},
		{inbox.OnSuccess, "after land", false},
		{inbox.ExactlyOnce, "before land", false},
		{inbox.ExactlyOnce, "after land", false},
	} {
		t.Run(string(tt.ack)+" "+tt.point, func(t *testing.T) {
			t.Parallel()
			b := newLandingBed(t, tt.ack, n)
			b.run(t, func() bool { return false }, func(c broker.Consumer, stop context.CancelFunc) broker.Consumer {
				switch tt.point {
				case "before land":
					b.table.before = func() error { stop(); return errDied }
				case "after land":
					b.table.after = stop
				case "before commit", "after commit":
					return &dying{Consumer: c, stop: stop, after: tt.point == "after commit"}
				}
				return c
			})
			b.table.before, b.table.after = nil, nil
			b.publish(n, n+1) // so that there is something to wait for
			last := fmt.Sprintf("m%d", n)
			b.run(t, func() bool { return slices.Contains(b.table.ids(), last) }, nil)
			want := ids(0, n+1)
			if tt.lost {
				want = ids(n, n+1)
			}
			require.Equal(t, want, b.table.ids(), "each once, in order")
		})
	}
}

// trap: 26
func TestAnOffsetWaitsForItsHandler(t *testing.T) {
	t.Parallel()
	b := newLandingBed(t, inbox.OnSuccess, 5)
	b.run(t, func() bool { return len(b.table.ids()) == 5 }, nil)
	require.Equal(t, int64(0), b.committed(t), "nothing has been handled")

	b.table.set("completed", "m0", "m1", "m3", "m4")
	commits := func(want int64) {
		t.Helper()
		var got int64
		b.run(t, func() bool { return false }, func(c broker.Consumer, stop context.CancelFunc) broker.Consumer {
			return &noting{Consumer: c, stop: stop, got: &got}
		})
		require.Equal(t, want, got)
	}
	commits(1) // m2 is to be handled
	require.Equal(t, int64(2), b.committed(t))

	b.table.set("dead", "m2")
	b.lander.CommitOnFailed = true
	commits(4)
	b.publish(5, 6)
	require.Equal(t, int64(5), b.committed(t))
}

// noting stops when something has been committed.
type noting struct {
	broker.Consumer
	stop context.CancelFunc
	got  *int64
}

func (n *noting) Commit(ctx context.Context, done map[broker.Partition]int64) error {
	*n.got = done[broker.Partition{Topic: landed}]
	defer n.stop()
	return n.Consumer.Commit(ctx, done)
}

// All that is handled is committed at one look, also behind a message that was sent
// twice.
func TestMessagesSentTwiceDoNotSlowTheCommits(t *testing.T) {
	t.Parallel()
	const n = 4000 // several chunks
	b := newLandingBed(t, inbox.OnSuccess, 1)
	b.publish(0, n)
	b.lander.MaxUncommitted = 2 * n
	var c broker.Consumer
	before := 0
	b.run(t, func() bool {
		if before == 0 && len(b.table.ids()) == n {
			before = b.table.looked()
			b.table.set("completed", ids(0, n)...)
		}
		assigned := c.Status().Assigned
		return len(assigned) == 1 && assigned[0].Committed == n+1
	}, func(inner broker.Consumer, _ context.CancelFunc) broker.Consumer {
		c = inner
		return c
	})
	require.LessOrEqual(t, b.table.looked(), before+2)
}

func TestConsumingWaitsWhileTheTableIsFull(t *testing.T) {
	t.Parallel()
	b := newLandingBed(t, inbox.OnPersist, 1)
	b.lander.MaxUncommitted = 0 // offsets do not wait
	b.table.full = true
	var inner broker.Consumer
	keep := func(c broker.Consumer, _ context.CancelFunc) broker.Consumer {
		inner = c
		return c
	}
	step := 0
	b.run(t, func() bool {
		switch step {
		case 0: // it has consumed before it looked
			if inner.Status().Paused {
				b.publish(1, 3)
				step++
			}
		case 1:
			require.Len(t, b.table.ids(), 1)
			b.table.mu.Lock()
			b.table.full = false
			b.table.mu.Unlock()
			step++
		case 2:
			return len(b.table.ids()) == 3
		}
		return false
	}, keep)
	require.Equal(t, ids(0, 3), b.table.ids())
}

func TestUncommittedMessagesHoldTheConsumerBack(t *testing.T) {
	t.Parallel()
	b := newLandingBed(t, inbox.OnSuccess, 10)
	b.lander.MaxUncommitted = 5
	var inner broker.Consumer
	b.run(t, func() bool { return inner.Status().Paused }, func(c broker.Consumer, _ context.CancelFunc) broker.Consumer {
		inner = c
		return c
	})
	require.Equal(t, ids(0, 10), b.table.ids())
}

// The database is down for a while: nothing is lost, nothing is committed early.
func TestLandingOutlivesTheDatabase(t *testing.T) {
	t.Parallel()
	b := newLandingBed(t, inbox.OnPersist, 3)
	tries := 0
	b.table.before = func() error {
		if tries++; tries < 3 {
			return errors.New("connection refused")
		}
		return nil
	}
	b.run(t, func() bool { return len(b.table.ids()) == 3 }, nil)
	require.Equal(t, 3, tries)
	require.Equal(t, ids(0, 3), b.table.ids())
}
