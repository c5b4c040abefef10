package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// errNoLeader: the partition has no leader at the moment.
var errNoLeader = errors.New("partition has no leader")

// mend sees to it that something is done about what cannot be sent. It is
// called with the lock held.
func (p *Publisher) mend() {
	if p.mending {
		select {
		case p.wake <- struct{}{}:
		default:
		}
		return
	}
	p.mending = true
	p.tasks.Go(p.mendAll)
}

// mendAll works until nothing is in trouble, or the publisher closes.
func (p *Publisher) mendAll() {
	for {
		todo, wait := p.troubles()
		switch {
		case len(todo.names) > 0:
			p.apply(todo, p.examine(p.life, todo))
		case wait <= 0:
			return
		default:
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-p.wake:
			case <-p.life.Done():
			}
			t.Stop()
		}
	}
}

// todo is what is to be found out now.
type todo struct {
	names    []string
	limits   []string // topics whose limit is not known, or old
	producer bool     // a new id is needed
}

// troubles tells what is to be done now, or else when to look again. If
// neither, the mender is gone.
func (p *Publisher) troubles() (todo, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out todo
	wait := time.Duration(0)
	if p.life.Err() != nil {
		p.mending = false
		return out, 0
	}
	now := time.Now()
	for _, t := range p.topics {
		needed, due, producer := t.trouble(now)
		switch {
		case due:
			out.names = append(out.names, t.name)
			out.producer = out.producer || producer
			if t.stale || t.limit == 0 || now.Sub(t.described) > refreshEvery {
				out.limits = append(out.limits, t.name)
			}
		case needed && (wait == 0 || t.nextTry().Sub(now) < wait):
			wait = max(t.nextTry().Sub(now), time.Millisecond)
		}
	}
	out.producer = out.producer || (len(out.names) > 0 && !p.producer.valid)
	if len(out.names) == 0 && wait == 0 {
		p.mending = false
	}
	return out, wait
}

// trouble tells whether the topic needs looking after, whether it is time for
// it, and whether a partition needs a new producer id.
func (t *topic) trouble(now time.Time) (needed, due, producer bool) {
	if len(t.waiting) > 0 || t.overdue {
		needed, due = true, !now.Before(t.retryAt)
	}
	for _, part := range t.parts {
		if part.stalled && part.busy() {
			needed = true
			if !now.Before(part.retryAt) {
				due = true
				producer = producer || !part.producer.valid
			}
		}
	}
	return needed, due, producer
}

// nextTry is when something about the topic falls due.
func (t *topic) nextTry() time.Time {
	var next time.Time
	earlier := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if len(t.waiting) > 0 || t.overdue {
		earlier(t.retryAt)
	}
	for _, part := range t.parts {
		if part.stalled && part.busy() {
			earlier(part.retryAt)
		}
	}
	return next
}

// findings are the answers of the cluster.
type findings struct {
	err      error
	meta     *sarama.MetadataResponse
	limits   map[string]int // nil if they could not be asked for
	producer producer       // not valid if none was asked for
}

// examine asks the cluster. Without limits things go on, without the rest they
// cannot.
func (p *Publisher) examine(ctx context.Context, todo todo) findings {
	var f findings
	if f.meta, f.err = p.cluster.metadata(ctx, todo.names); f.err != nil {
		return f
	}
	if todo.producer {
		if f.producer, f.err = p.cluster.producerID(ctx); f.err != nil {
			return f
		}
	}
	if len(todo.limits) > 0 {
		var err error
		if f.limits, err = p.cluster.limits(ctx, todo.limits); err != nil {
			p.log.WarnContext(ctx, "kafka limits of topics are not known", slog.Any("error", err))
		}
	}
	return f
}

// apply takes note of the answers.
func (p *Publisher) apply(todo todo, f findings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.report(f.err)
	if f.err != nil {
		for _, name := range todo.names {
			p.topics[name].postpone(f.err, now)
		}
		return
	}
	if f.producer.valid {
		p.producer = f.producer
	}
	for _, b := range f.meta.Brokers {
		p.leader(b.ID()).addr = b.Addr()
	}
	for _, name := range todo.limits {
		t := p.topics[name]
		if f.limits != nil {
			t.limit, t.described = f.limits[name], now
		}
		t.stale = false // if it is still unknown, the broker decides
	}
	for _, meta := range f.meta.Topics {
		t := p.topics[meta.Name]
		if t == nil {
			continue
		}
		if p.learn(t, meta, now) {
			p.free(t, f.producer, now)
		}
	}
}

// report logs when the cluster stops answering and when it answers again.
func (p *Publisher) report(err error) {
	switch {
	case p.life.Err() != nil:
		return
	case err != nil && !p.silent:
		p.log.Warn("kafka does not answer", slog.Any("error", err))
	case err == nil && p.silent:
		p.log.Info("kafka answers again")
	}
	p.silent = err != nil
}

// learn takes note of a topic's metadata, and tells whether it is of use.
func (p *Publisher) learn(t *topic, meta *sarama.TopicMetadata, now time.Time) bool {
	t.overdue = false
	if meta.Err == sarama.ErrUnknownTopicOrPartition {
		if t.missingSince.IsZero() {
			t.missingSince = now
		}
		t.postpone(meta.Err, now)
		if now.Sub(t.missingSince) >= p.patience {
			t.misdirect(missing(t.name, "the topic of the event"))
		}
		return false
	}
	t.missingSince = time.Time{}
	// Without a leader here and there the partitions are known all the same.
	if meta.Err != sarama.ErrNoError && meta.Err != sarama.ErrLeaderNotAvailable {
		t.postpone(meta.Err, now)
		if v, class := judge(meta.Err); v == misdirected {
			t.misdirect(fault(class, fmt.Errorf("topic %q: %w", t.name, meta.Err)))
		}
		return false
	}
	t.refreshed, t.failures = now, 0
	for _, m := range meta.Partitions {
		for int(m.ID) >= len(t.parts) && len(t.parts) < len(meta.Partitions) {
			t.parts = append(t.parts, &partition{topic: t, id: int32(len(t.parts)), producer: p.producer, stalled: true})
		}
		if int(m.ID) >= len(t.parts) {
			continue
		}
		part := t.parts[m.ID]
		if m.Leader >= 0 {
			part.leader = p.leader(m.Leader)
		} else if part.stalled {
			part.leader = nil
		}
	}
	p.shrink(t, len(meta.Partitions), now)
	return true
}

// shrink forgets the partitions that a topic does not have any more, because it
// was deleted and made again with fewer. A broker that has not heard of new ones
// yet says the same, so it is believed after a few seconds only.
func (p *Publisher) shrink(t *topic, n int, now time.Time) {
	if n == 0 || n >= len(t.parts) {
		t.fewerSince = time.Time{}
		return
	}
	if t.fewerSince.IsZero() {
		t.fewerSince = now
	}
	gone := t.parts[n:]
	// What is under way has an answer soon. If that is a refusal, the partition
	// stalls, and we are asked again.
	if now.Sub(t.fewerSince) < p.patience || slices.ContainsFunc(gone, func(part *partition) bool { return part.flying }) {
		return
	}
	var items []*item
	for _, part := range gone {
		if part.batch != nil {
			part.dissolve()
		}
		for _, it := range part.queue {
			it.part = nil
			items = append(items, it)
		}
		part.queue, part.solo, part.leader, part.stalled = nil, 0, nil, true
	}
	// All of a call's records with one key were in one line, before those that
	// wait for the topic.
	t.waiting = append(items, t.waiting...)
	clear(gone)
	t.parts, t.fewerSince = t.parts[:n], time.Time{}
	p.producer = producer{} // a partition that comes back after all may know the sequences of this one
	p.log.Warn("kafka topic has fewer partitions than before", slog.String("topic", t.name), slog.Int("partitions", n))
}

// free lets go what can be sent now: partitions with a leader and a producer
// id, and items that waited for the topic.
func (p *Publisher) free(t *topic, fresh producer, now time.Time) {
	for _, part := range t.parts {
		if !part.stalled || now.Before(part.retryAt) {
			continue
		}
		if !part.producer.valid && fresh.valid {
			part.producer, part.sequence = fresh, 0
		}
		switch {
		case part.leader == nil:
			part.stall(fmt.Errorf("partition %d of topic %q: %w", part.id, t.name, errNoLeader), now)
		case part.producer.valid:
			part.stalled = false
			p.arm(part)
		}
	}
	if !t.ready() {
		t.postpone(errNoLeader, now)
		return
	}
	waiting := t.waiting
	t.waiting = nil
	for _, it := range waiting {
		if !it.spared() {
			p.place(it, now)
		}
	}
}

// postpone puts off everything about the topic.
func (t *topic) postpone(err error, now time.Time) {
	t.failures++
	t.lastErr, t.retryAt = err, now.Add(backoff(t.failures))
	for _, part := range t.parts {
		if part.stalled && !now.Before(part.retryAt) {
			part.stall(err, now)
		}
	}
}

// misdirect fails everything that waits for the topic.
func (t *topic) misdirect(err error) {
	for _, it := range t.waiting {
		if !it.spared() {
			it.fail(err)
		}
	}
	t.waiting = nil
	for _, part := range t.parts {
		if !part.flying {
			part.misdirect(err)
		}
	}
}

// leader gives the broker with that id.
func (p *Publisher) leader(id int32) *leader {
	l := p.leaders[id]
	if l == nil {
		l = &leader{id: id}
		p.leaders[id] = l
	}
	return l
}
