package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/IBM/sarama"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

// commitBackoff is how long a commit waits that did not get through.
const commitBackoff = 100 * time.Millisecond

// Commit commits offsets, as broker.Consumer says.
func (c *Consumer) Commit(ctx context.Context, done map[broker.Partition]int64) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return omnibox.Unreachable(fmt.Errorf("commit offsets: %w", context.Cause(ctx)))
	}
	rest := maps.Clone(done)
	var last error
	for {
		c.mu.Lock()
		next := c.commitment(rest)
		c.mu.Unlock()
		if next == nil {
			return nil
		}
		if ctx.Err() != nil {
			return omnibox.Unreachable(fmt.Errorf("commit offsets: %w", errors.Join(context.Cause(ctx), last)))
		}
		last = c.try(ctx, next, rest)
		if last != nil && !c.renewed(next) {
			c.complain("commit offsets", last)
			wait(ctx, commitBackoff)
		}
	}
}

// commitment is one try to commit: what, and as which member.
type commitment struct {
	side       sarama.Client
	memberID   string
	generation int32
	offsets    map[broker.Partition]int64
}

// commitment of those of rest that are ours and not committed; the others leave
// rest. Nil if there are none. It is called with the lock held.
func (c *Consumer) commitment(rest map[broker.Partition]int64) *commitment {
	for p, offset := range rest {
		if cl := c.claims[p]; cl == nil || offset < cl.committed {
			delete(rest, p)
		}
	}
	if len(rest) == 0 || c.session == nil || c.side == nil {
		return nil
	}
	// The generation is read first: if it is stale, so may the member's id be,
	// and the broker says so.
	generation := c.session.GenerationID()
	return &commitment{side: c.side, generation: generation, memberID: c.session.MemberID(), offsets: maps.Clone(rest)}
}

// try asks once, and takes what is decided out of rest. It does not wait for an
// answer after ctx has ended.
func (c *Consumer) try(ctx context.Context, m *commitment, rest map[broker.Partition]int64) error {
	type answer struct {
		resp *sarama.OffsetCommitResponse
		err  error
	}
	answered := make(chan answer, 1)
	c.mu.Lock()
	if c.session == nil { // nobody waits for tasks any more
		c.mu.Unlock()
		return errClosedConsumer
	}
	c.tasks.Go(func() {
		resp, err := m.ask(c.sub.Group)
		answered <- answer{resp, err}
	})
	c.mu.Unlock()
	select {
	case a := <-answered:
		if a.err != nil {
			return a.err
		}
		refused, err := c.settle(m, a.resp, rest)
		if refused != nil {
			c.complain("commit offsets, for want of which messages may come again", refused)
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *commitment) ask(group string) (*sarama.OffsetCommitResponse, error) {
	coordinator, err := m.side.Coordinator(group)
	if err != nil {
		return nil, err
	}
	req := sarama.NewOffsetCommitRequest(m.side.Config(), group)
	req.ConsumerID, req.ConsumerGroupGeneration = m.memberID, m.generation
	for p, offset := range m.offsets {
		req.AddBlockWithLeaderEpoch(p.Topic, p.ID, offset+1, -1, 0, "")
	}
	resp, err := coordinator.CommitOffset(req)
	if err != nil {
		_ = coordinator.Close()
	}
	if err != nil || hasMoved(resp) {
		_ = m.side.RefreshCoordinator(group) // if that fails, so does the next try
	}
	return resp, err
}

// hasMoved says that another broker answers for the group now.
func hasMoved(resp *sarama.OffsetCommitResponse) bool {
	for _, codes := range resp.Errors {
		for _, code := range codes {
			if code == sarama.ErrNotCoordinatorForConsumer || code == sarama.ErrConsumerCoordinatorNotAvailable {
				return true
			}
		}
	}
	return false
}

// settle reads the answer: refused is what will not be tried again.
func (c *Consumer) settle(m *commitment, resp *sarama.OffsetCommitResponse, rest map[broker.Partition]int64) (refused, failed error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var refusals, errs []error
	for p, offset := range m.offsets {
		code, ok := resp.Errors[p.Topic][p.ID]
		if !ok {
			code = sarama.ErrUnknown
		}
		cl := c.claims[p]
		switch {
		case code == sarama.ErrNoError:
			delete(rest, p)
			if cl != nil {
				cl.committed = max(cl.committed, offset+1)
			}
			continue
		case cl == nil, isStranger(code) && cl.leaving() && c.session != nil && c.session.GenerationID() == m.generation:
			delete(rest, p) // the partition is lost
			continue
		case isForbidden(code), code == sarama.ErrUnknownTopicOrPartition && cl.leaving():
			// What is in hand would wait for this for ever, and with it what is to be
			// given up of the other partitions.
			delete(rest, p)
			refusals = append(refusals, fmt.Errorf("%s/%d: %w", p.Topic, p.ID, code))
			continue
		}
		errs = append(errs, fmt.Errorf("%s/%d: %w", p.Topic, p.ID, code))
	}
	return errors.Join(refusals...), errors.Join(errs...)
}

// isStranger says that the broker has another idea of who we are: we have been
// given up for dead, or are about to learn a new generation.
func isStranger(code sarama.KError) bool {
	return code == sarama.ErrUnknownMemberId || code == sarama.ErrIllegalGeneration || code == sarama.ErrFencedInstancedId
}

// isForbidden says that only a person can make the broker take the offset.
func isForbidden(code sarama.KError) bool {
	return code == sarama.ErrTopicAuthorizationFailed || code == sarama.ErrGroupAuthorizationFailed || code == sarama.ErrInvalidTopic
}

// renewed says that the member has learned a new generation meanwhile.
func (c *Consumer) renewed(m *commitment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session != nil && c.session.GenerationID() != m.generation
}
