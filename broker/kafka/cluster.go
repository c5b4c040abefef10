package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// cluster answers questions that any of its brokers can answer, over one
// connection that it opens when needed, to the first broker that answers.
type cluster struct {
	conf  *sarama.Config
	seeds []string
	turn  chan struct{} // holds a token while the connection is in use

	control *sarama.Broker // owned by whoever has the turn

	mu    sync.Mutex
	known []string // addresses of the brokers, from the latest metadata
}

func newCluster(conf *sarama.Config, seeds []string) *cluster {
	return &cluster{conf: conf, seeds: seeds, turn: make(chan struct{}, 1)}
}

// ask puts a question to one broker after the other until one answers. It
// blocks for a few timeouts of the connection at worst, one for each broker.
// A Kafka error code is an answer too.
func (c *cluster) ask(ctx context.Context, question func(*sarama.Broker) error) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if c.control != nil {
		err := question(c.control)
		if err == nil || isAnswer(err) {
			return err
		}
		c.drop() // idle for too long, perhaps: no reason to think ill of the broker
	}
	var errs []error
	for _, addr := range c.addresses() {
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		b := sarama.NewBroker(addr)
		err := b.Open(c.conf)
		if err == nil {
			_, err = b.Connected()
		}
		if err == nil {
			err = question(b)
			if err == nil || isAnswer(err) {
				c.control = b
				return err
			}
		}
		_ = b.Close()
		errs = append(errs, fmt.Errorf("broker %s: %w", addr, err))
	}
	return errors.Join(errs...)
}

// isAnswer tells an error that a broker sent from one of the connection.
// Authentication fails before any question is put.
func isAnswer(err error) bool {
	code, ok := codeOf(err)
	return ok && code != sarama.ErrSASLAuthenticationFailed
}

func (c *cluster) drop() {
	_ = c.control.Close()
	c.control = nil
}

// addresses to try: brokers of which the cluster told us, then those that we
// were configured with.
func (c *cluster) addresses() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Clone(c.known)
	for _, s := range c.seeds {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// metadata of topics, none of which is created by asking.
func (c *cluster) metadata(ctx context.Context, topics []string) (*sarama.MetadataResponse, error) {
	var out *sarama.MetadataResponse
	err := c.ask(ctx, func(b *sarama.Broker) (err error) {
		req := sarama.NewMetadataRequest(c.conf.Version, topics)
		out, err = b.GetMetadata(req)
		if err == nil && len(out.Brokers) == 0 {
			return errors.New("broker is starting: it knows no brokers yet")
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fetch metadata: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = c.known[:0]
	for _, b := range out.Brokers {
		c.known = append(c.known, b.Addr())
	}
	return out, nil
}

// producerID asks for one that nobody has used.
func (c *cluster) producerID(ctx context.Context) (producer, error) {
	var out *sarama.InitProducerIDResponse
	err := c.ask(ctx, func(b *sarama.Broker) (err error) {
		out, err = b.InitProducerID(&sarama.InitProducerIDRequest{Version: 1, TransactionTimeout: math.MaxInt32 * time.Millisecond})
		if err == nil && out.Err != sarama.ErrNoError {
			return out.Err
		}
		return err
	})
	if err != nil {
		return producer{}, fmt.Errorf("fetch producer id: %w", err)
	}
	return producer{id: out.ProducerID, epoch: out.ProducerEpoch, valid: true}, nil
}

// limits gives the max.message.bytes of topics, leaving out those that we may
// not know.
func (c *cluster) limits(ctx context.Context, topics []string) (map[string]int, error) {
	found, err := c.settings(ctx, topics, keyMaxMessageBytes)
	out := make(map[string]int, len(found))
	for topic, settings := range found {
		if n := maxMessageBytes(settings); n > 0 {
			out[topic] = n
		}
	}
	return out, err
}

// Keys of a topic's configuration.
const (
	keyMaxMessageBytes = "max.message.bytes"
	keyRetention       = "retention.ms"
	keyCleanup         = "cleanup.policy"
)

// settings gives topics' configurations, leaving out what we may not know.
func (c *cluster) settings(ctx context.Context, topics []string, keys ...string) (map[string]map[string]string, error) {
	req := &sarama.DescribeConfigsRequest{Version: 1}
	for _, t := range topics {
		req.Resources = append(req.Resources, &sarama.ConfigResource{Type: sarama.TopicResource, Name: t, ConfigNames: keys})
	}
	var resp *sarama.DescribeConfigsResponse
	err := c.ask(ctx, func(b *sarama.Broker) (err error) {
		resp, err = b.DescribeConfigs(req)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fetch configuration of topics: %w", err)
	}
	out := make(map[string]map[string]string)
	for _, r := range resp.Resources {
		for _, e := range r.Configs {
			if !slices.Contains(keys, e.Name) {
				continue
			}
			if out[r.Name] == nil {
				out[r.Name] = map[string]string{}
			}
			out[r.Name][e.Name] = e.Value
		}
	}
	return out, nil
}

// dialer ties connections to the life of the publisher, so that Close is not
// held up by a broker that does not answer.
type dialer struct {
	life context.Context
	net.Dialer
}

// Dial connects.
func (d *dialer) Dial(network, addr string) (net.Conn, error) {
	conn, err := d.DialContext(d.life, network, addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(d.life, func() { _ = conn.Close() })
	return &tiedConn{Conn: conn, untie: stop}, nil
}

type tiedConn struct {
	net.Conn
	untie func() bool
}

// Close closes the connection.
func (c *tiedConn) Close() error {
	c.untie()
	return c.Conn.Close()
}

// close gives up the connection. Nobody may be asking.
func (c *cluster) close() {
	if c.control != nil {
		c.drop()
	}
}
