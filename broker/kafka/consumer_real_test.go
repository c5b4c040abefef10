package kafka_test

import (
	"context"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
)

// The broker is killed under two members that commit every poll, and comes back:
// nothing is left out, and what comes again was in hand.
func (r *rig) consumersOfAKilledBroker(t *testing.T) {
	topic := createTopic(t, 3, nil, r.addr)
	p := dial(t, kafka.Config{}, r.addr)
	sub := broker.Subscription{Group: topic, Topics: []string{topic}, MaxPoll: 20}
	first, second := consume(t, sub, commitEach, r.addr), consume(t, sub, commitEach, r.addr)
	total := func() int { return len(offsets(first.all())) + len(offsets(second.all())) }
	sent := 0
	more := func() {
		requireSent(t, p.Publish(t.Context(), series(topic, 300, 30)))
		sent += 300
	}
	more()
	until(t, func() bool { return total() >= 100 }, first)
	require.NoError(t, r.Kill())
	until(t, func() bool { return first.Status().Err != nil }, first)
	require.NoError(t, r.Start(t.Context()))
	more()
	more()
	until(t, func() bool { return len(offsets(append(first.all(), second.all()...))) == sent }, second)
	for _, w := range []*worker{first, second} {
		next := make(map[int32]int64)
		for _, m := range w.all() {
			require.LessOrEqual(t, next[m.Partition]-20, m.Offset, "what was committed comes again")
			next[m.Partition] = max(next[m.Partition], m.Offset+1)
		}
	}
}

// offsets that are among messages.
func offsets(messages []broker.Message) map[[2]int64]bool {
	out := make(map[[2]int64]bool)
	for _, m := range messages {
		out[[2]int64{int64(m.Partition), m.Offset}] = true
	}
	return out
}

// A broker that stands still does not keep a consumer from ending.
func (r *rig) consumerOfAFrozenBroker(t *testing.T) {
	topic := createTopic(t, 3, nil, r.addr)
	p := dial(t, kafka.Config{}, r.addr)
	requireSent(t, p.Publish(t.Context(), series(topic, 30, 3)))
	asked := make(chan struct{})
	frozen := make(chan struct{})
	var first bool
	w := consume(t, broker.Subscription{Group: topic, Topics: []string{topic}}, func(ctx context.Context, w *worker, poll []broker.Message) error {
		if !first {
			first = true
			close(asked)
			<-frozen
		}
		_ = commitEach(ctx, w, poll) // waits for the broker until ctx ends
		return nil
	}, r.addr)
	<-asked
	require.NoError(t, syscall.Kill(r.Pid(), syscall.SIGSTOP))
	close(frozen)
	w.stop()
	require.NoError(t, syscall.Kill(r.Pid(), syscall.SIGCONT))
	again := consume(t, broker.Subscription{Group: topic, Topics: []string{topic}}, commitEach, r.addr)
	until(t, func() bool { return len(offsets(again.all())) == 30 }, again)
}

func (r *rig) consumerWithSASL(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		sasl := func(password string) kafka.Config {
			return kafka.Config{Addresses: []string{r.Listener("SASL")}, SASL: &kafka.SASL{Mechanism: mechanism, User: "alice", Password: password}}
		}
		r.consumes(t, sasl("secret"), sasl("wrong"), "SASL")
	}
}

func (r *rig) consumerWithTLS(t *testing.T, certificate string) {
	t.Helper()
	by := func(tls *kafka.TLS) kafka.Config {
		return kafka.Config{Addresses: []string{r.Listener("TLS")}, TLS: tls}
	}
	r.consumes(t, by(&kafka.TLS{CAFile: certificate}), by(&kafka.TLS{}), "certificate")
}

// consumes tells whether a consumer that the broker does not let in says so, and
// one that it does gets messages and commits them.
func (r *rig) consumes(t *testing.T, good, bad kafka.Config, says string) {
	t.Helper()
	topic := createTopic(t, 1, nil, r.addr)
	requireSent(t, dial(t, kafka.Config{}, r.addr).Publish(t.Context(), series(topic, 5, 2)))
	sub := broker.Subscription{Group: topic, Topics: []string{topic}}
	refused := consumeBy(t, bad, sub, nil)
	until(t, func() bool { return refused.Status().Err != nil }, refused)
	require.ErrorContains(t, refused.Status().Err, says)
	require.Empty(t, refused.all())
	refused.stop()

	w := consumeBy(t, good, sub, commitEach)
	until(t, func() bool {
		assigned := w.Status().Assigned
		return len(w.all()) == 5 && len(assigned) == 1 && assigned[0].Committed == 5
	}, w)
}
