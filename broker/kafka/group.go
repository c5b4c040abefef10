package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// Waits between two tries to join.
const (
	firstBackoff = 100 * time.Millisecond
	mostBackoff  = 5 * time.Second
	// A membership that lasted as long was none that failed at once.
	steady = 5 * time.Second
)

// errRejoin ends a membership to begin another one at once.
var errRejoin = errors.New("joining the group again")

// stay keeps us in the group until ctx ends. Connections live as long as life.
func (c *Consumer) stay(ctx, life context.Context) {
	backoff := firstBackoff
	for ctx.Err() == nil {
		began := time.Now()
		err := c.member(ctx, life)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) >= steady || errors.Is(err, errRejoin) {
			backoff = firstBackoff
		}
		if err != nil && !errors.Is(err, errRejoin) {
			c.complain("join group", err)
		}
		wait(ctx, backoff)
		backoff = min(2*backoff, mostBackoff)
	}
}

// member connects and consumes until ctx ends or something goes wrong.
func (c *Consumer) member(ctx, life context.Context) (err error) {
	side, err := c.connect(life)
	if err != nil {
		return err
	}
	c.setSide(side)
	defer func() {
		c.setSide(nil)
		_ = side.Close()
	}()
	topics, err := c.existing(side)
	if err != nil || len(topics) == 0 {
		return err
	}
	c.findEnds(side, topics)
	client, err := c.connect(life)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	group, err := sarama.NewConsumerGroupFromClient(c.sub.Group, client)
	if err != nil {
		return err
	}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for err := range group.Errors() {
			c.hear(err)
		}
	})
	defer tasks.Wait()
	defer func() { _ = group.Close() }() // leaves the group
	session, stop := context.WithCancelCause(ctx)
	tasks.Go(func() { stop(c.watch(session, side, topics)) })
	defer stop(nil)
	for session.Err() == nil {
		began := time.Now()
		if err := group.Consume(session, topics, handler{c}); err != nil {
			return c.refusal(side, err)
		}
		if time.Since(began) < steady {
			wait(session, firstBackoff)
		}
	}
	return context.Cause(session)
}

// connect makes a client of sarama's, which is busy with one thing at a time.
func (c *Consumer) connect(life context.Context) (sarama.Client, error) {
	conf := *c.conf
	d := &dialer{life: life, Dialer: net.Dialer{Timeout: conf.Net.DialTimeout}}
	conf.Net.Proxy.Enable, conf.Net.Proxy.Dialer = true, d
	conf.Consumer.Group.Rebalance.GroupStrategies = c.strategies()
	return sarama.NewClient(c.addresses, &conf)
}

// strategies that we offer to the group.
func (c *Consumer) strategies() []sarama.BalanceStrategy {
	cooperative := sarama.NewBalanceStrategyCooperativeSticky()
	if a, ok := cooperative.(assignor); ok {
		cooperative = observed{assignor: a, assigned: c.revoke}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.eager {
		return []sarama.BalanceStrategy{cooperative}
	}
	return []sarama.BalanceStrategy{
		cooperative, sarama.NewBalanceStrategySticky(), sarama.NewBalanceStrategyRange(), sarama.NewBalanceStrategyRoundRobin(),
	}
}

// assignor is what sarama's cooperative strategy can do.
type assignor interface {
	sarama.RebalanceProtocolBalanceStrategy
	sarama.SubscriptionUserDataBalanceStrategy
	sarama.OnAssignmentBalanceStrategy
}

// observed tells a new assignment before sarama acts on it. Without that, a
// claim that waits for room in the line would not hear that it is to end: all
// that sarama does is to close the channel of its messages.
type observed struct {
	assignor
	assigned func(topics map[string][]int32)
}

// OnAssignment is called with every assignment.
func (o observed) OnAssignment(a *sarama.ConsumerGroupMemberAssignment, generation int32) {
	o.assignor.OnAssignment(a, generation)
	o.assigned(a.Topics)
}

// revoke ends the claims that are not among those assigned.
func (c *Consumer) revoke(assigned map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.assigned = assigned
	for _, cl := range c.claims {
		c.check(cl)
	}
}

// check ends a claim that is not among those assigned, as far as that was told.
func (c *Consumer) check(cl *claim) {
	if c.assigned != nil && !cl.lost && !slices.Contains(c.assigned[cl.Topic], cl.ID) {
		cl.lost = true
		close(cl.revoked)
	}
}

// refusal says what the error of joining means.
func (c *Consumer) refusal(side sarama.Client, err error) error {
	if !errors.Is(err, sarama.ErrInconsistentGroupProtocol) {
		return err
	}
	c.mu.Lock()
	tried := c.eager
	c.eager = true
	c.mu.Unlock()
	if !tried {
		return errRejoin
	}
	what := "of another kind"
	if kind, strategy, err := c.describe(side); err == nil {
		what = fmt.Sprintf("with protocol type %q and strategy %q", kind, strategy)
	}
	return fmt.Errorf("consumer group %q is in use by a program %s, with which we cannot share it: choose another group: %w", c.sub.Group, what, err)
}

// describe asks what a group is.
func (c *Consumer) describe(side sarama.Client) (kind, strategy string, err error) {
	coordinator, err := side.Coordinator(c.sub.Group)
	if err != nil {
		return "", "", err
	}
	resp, err := coordinator.DescribeGroups(&sarama.DescribeGroupsRequest{Groups: []string{c.sub.Group}})
	if err != nil {
		return "", "", err
	}
	if len(resp.Groups) == 0 {
		return "", "", sarama.ErrIncompleteResponse
	}
	return resp.Groups[0].ProtocolType, resp.Groups[0].Protocol, nil
}

func (c *Consumer) setSide(side sarama.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.side = side
}

func (c *Consumer) client() sarama.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.side
}
