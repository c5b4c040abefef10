package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/IBM/sarama"

	"github.com/omnibox-go/omnibox/broker"
)

// chunkSize is how many messages go to the line at once: enough that its lock
// costs nothing, few enough that a poll is filled by several partitions.
const chunkSize = 256

// claim is a partition that we have been assigned.
type claim struct {
	broker.Partition
	sarama    sarama.ConsumerGroupClaim
	ended     <-chan struct{} // with the session
	revoked   chan struct{}   // closed when the partition goes to another member
	newest    atomic.Int64    // high-water mark as last asked for
	position  int64           // guarded by the line's lock
	committed int64           // guarded by the consumer's lock
	lost      bool            // revoked is closed; guarded by the consumer's lock
}

func (c *claim) assignment() broker.Assignment {
	return broker.Assignment{
		Partition: c.Partition, Position: c.position, Committed: c.committed,
		HighWater: max(c.newest.Load(), c.sarama.HighWaterMarkOffset()),
	}
}

// leaving says that the partition is being given up.
func (c *claim) leaving() bool { return isClosed(c.ended) || isClosed(c.revoked) }

// handler is what sarama calls.
type handler struct{ *Consumer }

// Setup is called when we have joined.
func (h handler) Setup(s sarama.ConsumerGroupSession) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session = s
	h.trouble.joined()
	return nil
}

// Cleanup is called when all claims have been given up.
func (h handler) Cleanup(sarama.ConsumerGroupSession) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session, h.assigned = nil, nil
	return nil
}

// ConsumeClaim moves the messages of a partition to the line, until the
// partition is given up; by then none of its messages is in hand.
func (h handler) ConsumeClaim(s sarama.ConsumerGroupSession, from sarama.ConsumerGroupClaim) error {
	c := &claim{
		Partition: broker.Partition{Topic: from.Topic(), ID: from.Partition()},
		sarama:    from, ended: s.Context().Done(), revoked: make(chan struct{}), position: -1, committed: -1,
	}
	c.newest.Store(-1)
	if offset := from.InitialOffset(); offset >= 0 {
		c.position, c.committed = offset, offset
	} else {
		h.begin(c)
	}
	h.mu.Lock()
	h.claims[c.Partition] = c
	h.check(c) // it may have been revoked while it began
	h.mu.Unlock()
	defer func() {
		h.line.leave(c)
		h.mu.Lock()
		delete(h.claims, c.Partition)
		h.mu.Unlock()
	}()
	h.keepBeginning(s.Context(), c)
	for {
		messages := c.receive()
		if messages == nil || !h.line.put(s.Context(), c, messages) {
			return nil
		}
		h.delivers(c.Partition)
	}
}

// receive waits for a message and takes what has arrived with it; nil when the
// partition is to be given up.
func (c *claim) receive() []broker.Message {
	var first *sarama.ConsumerMessage
	select {
	case first = <-c.sarama.Messages():
	case <-c.ended:
	case <-c.revoked:
	}
	if first == nil {
		return nil
	}
	messages := make([]broker.Message, 1, min(chunkSize, 1+len(c.sarama.Messages())))
	messages[0] = message(first)
	for len(messages) < cap(messages) {
		next := <-c.sarama.Messages()
		if next == nil {
			break
		}
		messages = append(messages, message(next))
	}
	return messages
}

func message(m *sarama.ConsumerMessage) broker.Message {
	out := broker.Message{
		Topic: m.Topic, Partition: m.Partition, Offset: m.Offset,
		Key: m.Key, Value: m.Value, Time: m.Timestamp,
	}
	if len(m.Headers) > 0 {
		out.Headers = make([]broker.Header, len(m.Headers))
		for i, h := range m.Headers {
			out.Headers[i] = broker.Header{Key: string(h.Key), Value: h.Value}
		}
	}
	return out
}

// begin finds out where a partition begins for which sarama has no committed
// offset, or none that is there, and says so if messages were lost.
func (h handler) begin(c *claim) {
	side := h.client()
	if side == nil {
		return
	}
	oldest, err1 := side.GetOffset(c.Topic, c.ID, sarama.OffsetOldest)
	newest, err2 := side.GetOffset(c.Topic, c.ID, sarama.OffsetNewest)
	if err1 != nil || err2 != nil {
		return // the first message will tell
	}
	start := oldest
	if c.sarama.InitialOffset() == sarama.OffsetNewest {
		start = newest
	}
	c.newest.Store(newest)
	c.position = start
	committed, err := h.committed(side, c.Partition)
	if err != nil || committed < 0 || committed == start {
		return
	}
	log := h.log.With(slog.String("topic", c.Topic), slog.Int("partition", int(c.ID)),
		slog.Int64("committed", committed), slog.Int64("start", start))
	if committed > newest {
		log.Warn("committed offset is behind the end of the partition: was the topic deleted and made again? starting where from says",
			slog.Int64("end", newest))
		return
	}
	log.Warn("committed offset is no longer there: messages were lost, to the topic's retention or by from: latest",
		slog.Int64("lost", start-committed))
}

// findEnds notes where the partitions end before we join, if the group begins
// there. sarama begins there or behind, and does not tell where. One that cannot
// be asked holds up no other.
func (c *Consumer) findEnds(side sarama.Client, topics []string) {
	if c.sub.From != broker.Latest {
		return
	}
	ends := make(map[broker.Partition]int64)
	for _, topic := range topics {
		partitions, err := side.Partitions(topic)
		if err != nil {
			c.complain("list partitions of topic "+topic, err)
		}
		for _, id := range partitions {
			end, err := side.GetOffset(topic, id, sarama.OffsetNewest)
			if err != nil {
				c.complain(fmt.Sprintf("look for the end of %s/%d", topic, id), err)
				continue
			}
			ends[broker.Partition{Topic: topic, ID: id}] = end
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends = ends
}

// keepBeginning commits where a partition begins of which nothing is committed.
// Else what is published between the end of this member and the beginning of the
// next would be left out.
func (h handler) keepBeginning(ctx context.Context, c *claim) {
	h.mu.Lock()
	end, known := h.ends[c.Partition]
	known = known && c.committed < 0
	if c.position >= 0 {
		end = min(end, c.position) // the topic was made again since
	}
	h.mu.Unlock()
	if !known {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-c.revoked:
			stop()
		case <-ctx.Done():
		}
	}()
	_ = h.Commit(ctx, map[broker.Partition]int64{c.Partition: end - 1}) // fails if the partition is given up: then the next member does it
}

// committed asks for the offset that the group has committed; -1 if none.
func (c *Consumer) committed(side sarama.Client, p broker.Partition) (int64, error) {
	coordinator, err := side.Coordinator(c.sub.Group)
	if err != nil {
		return -1, err
	}
	resp, err := coordinator.FetchOffset(sarama.NewOffsetFetchRequest(c.conf.Version, c.sub.Group, map[string][]int32{p.Topic: {p.ID}}))
	if err != nil {
		return -1, fmt.Errorf("fetch committed offset: %w", err)
	}
	block := resp.GetBlock(p.Topic, p.ID)
	if block == nil || block.Err != sarama.ErrNoError {
		return -1, fmt.Errorf("fetch committed offset of %s/%d: %w", p.Topic, p.ID, resp.Err)
	}
	return block.Offset, nil
}
