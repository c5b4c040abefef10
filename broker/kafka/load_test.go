package kafka_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
)

// load is traffic that never stops: four callers, each with keys of its own,
// that behave like a relay, sending of every key what was not acknowledged
// again before what comes next.
type load struct {
	r       *rig
	topic   string
	acked   atomic.Int64
	failed  atomic.Int64
	callers sync.WaitGroup
	stop    chan struct{}
	mu      sync.Mutex
	sent    map[string]int // acknowledged records of each key; they are 0, 1, 2, …
}

// load starts the traffic; each call may take so long.
func (r *rig) load(t *testing.T, timeout time.Duration) *load {
	t.Helper()
	// With so small a limit a call needs several batches a partition.
	l := &load{r: r, topic: createTopic(t, 6, limit("400"), r.addr), stop: make(chan struct{}), sent: make(map[string]int)}
	p := dial(t, kafka.Config{}, r.addr)
	for caller := range 4 {
		l.callers.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
					l.call(t, p, caller, timeout)
				}
			}
		})
	}
	return l
}

// call sends the next records of the caller's keys.
func (l *load) call(t *testing.T, p *kafka.Publisher, caller int, timeout time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), timeout)
	defer cancel()
	l.mu.Lock()
	var records []broker.Record
	for n := range 5 {
		for key := range 25 {
			name := fmt.Sprint("c", caller, "k", key)
			records = append(records, record(l.topic, name, l.sent[name]+n))
		}
	}
	l.mu.Unlock()
	errs := p.Publish(ctx, records)
	l.mu.Lock()
	defer l.mu.Unlock()
	broken := make(map[string]bool)
	for i, err := range errs {
		key := string(records[i].Key)
		if err != nil {
			l.failed.Add(1)
			broken[key] = true
			if c := omnibox.ClassOf(err); c != omnibox.ClassUnreachable && c != omnibox.ClassCancelled {
				t.Errorf("an outage was blamed on a record: %v", err)
			}
			continue
		}
		if broken[key] {
			t.Errorf("a record was sent behind one that was not")
		}
		l.sent[key]++
		l.acked.Add(1)
	}
}

// sendsFor waits until n more records have been acknowledged.
func (l *load) sendsFor(t *testing.T, n int) {
	t.Helper()
	goal := l.acked.Load() + int64(n)
	require.Eventually(t, func() bool { return l.acked.Load() >= goal }, time.Minute, time.Millisecond)
}

// failsOnce waits until a call has failed.
func (l *load) failsOnce(t *testing.T) {
	t.Helper()
	goal := l.failed.Load() + 1
	require.Eventually(t, func() bool { return l.failed.Load() >= goal }, time.Minute, time.Millisecond)
}

// finish stops the traffic and checks the topic: every acknowledged record is
// there, and the first occurrences of each key's are in order.
func (l *load) finish(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.callers.Wait()
	seen := make(map[string]int)
	repeated := 0
	for _, r := range read(t, l.topic, l.r.addr) {
		key := string(r.Key)
		var n int
		_, err := fmt.Sscan(string(r.Value), &n)
		require.NoError(t, err)
		require.LessOrEqual(t, n, seen[key], "%s: %d came before %d", key, n, seen[key])
		if n < seen[key] {
			repeated++
			continue
		}
		seen[key]++
	}
	for key, n := range l.sent {
		require.GreaterOrEqual(t, seen[key], n, "%s: acknowledged and not there", key)
	}
	t.Logf("%d acknowledged, %d repeated, %d failed and tried again", l.acked.Load(), repeated, l.failed.Load())
}
