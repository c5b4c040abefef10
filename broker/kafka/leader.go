package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/IBM/sarama"
)

// maxRequestBytes bounds what is sent at once, so that a request is not under
// way for too long. A batch always goes whole.
const maxRequestBytes = 8 << 20

// leader is a broker that leads partitions.
type leader struct {
	id int32
	// Guarded by Publisher.mu.
	addr    string
	ready   []*partition // that have something to send
	sending bool         // a goroutine sends; it ends when nothing is ready
	failing bool         // the last request had no answer
	// Owned by the goroutine that sends.
	conn     *sarama.Broker
	connAddr string
}

// send sends what is ready, one request after the other.
func (p *Publisher) send(l *leader) {
	for {
		batches, addr := p.collect(l)
		if len(batches) == 0 {
			return
		}
		resp, sent, err := p.produce(l, addr, batches)
		p.settle(l, batches, resp, sent, err)
	}
}

// collect takes the batches of a request. If there are none, the leader is no
// longer being sent to.
func (p *Publisher) collect(l *leader) ([]*batch, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var batches []*batch
	room := maxRequestBytes
	for len(l.ready) > 0 {
		part := l.ready[0]
		if part.leader == l && !part.stalled {
			b := part.next()
			if b != nil && len(batches) > 0 && b.size > room {
				break // it is next
			}
			if b != nil {
				room -= b.size
				part.flying = true
				for _, it := range b.items {
					it.sent = true
				}
				batches = append(batches, b)
			}
		}
		l.ready[0] = nil
		l.ready = l.ready[1:]
		part.listed = false
		if part.leader != l || part.stalled {
			p.arm(part)
		}
	}
	if len(batches) == 0 {
		l.sending = false
	}
	return batches, l.addr
}

// produce sends batches in one request and waits for the answer. Unless sent,
// none of them can have arrived.
func (p *Publisher) produce(l *leader, addr string, batches []*batch) (resp *sarama.ProduceResponse, sent bool, err error) {
	req := &sarama.ProduceRequest{RequiredAcks: sarama.WaitForAll, Timeout: p.timeout, Version: 8}
	if !p.conf.Version.IsAtLeast(sarama.V2_4_0_0) {
		req.Version = 7 // without a message beside the error code
	}
	for _, b := range batches {
		req.AddBatch(b.part.topic.name, b.part.id, b.encode(p.codec))
	}
	if err := l.connect(p.conf, addr); err != nil {
		return nil, false, err
	}
	type answer struct {
		resp *sarama.ProduceResponse
		err  error
	}
	answered := make(chan answer, 1)
	err = l.conn.AsyncProduce(req, func(resp *sarama.ProduceResponse, err error) { answered <- answer{resp, err} })
	if err == nil {
		a := <-answered // at the latest when the read timeout is over
		resp, err = a.resp, a.err
	}
	if err == nil {
		return resp, true, nil
	}
	l.disconnect()
	if _, unfit := errors.AsType[sarama.PacketEncodingError](err); unfit {
		return nil, false, err
	}
	return nil, true, err
}

// connect opens the connection, unless there is one to that address.
func (l *leader) connect(conf *sarama.Config, addr string) error {
	if l.conn != nil && l.connAddr == addr {
		return nil
	}
	l.disconnect()
	conn := sarama.NewBroker(addr)
	if err := conn.Open(conf); err != nil {
		return err
	}
	if ok, err := conn.Connected(); !ok { // waits for the attempt to end
		return errors.Join(err, conn.Close())
	}
	l.conn, l.connAddr = conn, addr
	return nil
}

func (l *leader) disconnect() {
	if l.conn == nil {
		return
	}
	_ = l.conn.Close()
	l.conn = nil
}

// settle deals with the answer to a request.
func (p *Publisher) settle(l *leader, batches []*batch, resp *sarama.ProduceResponse, sent bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.report(p.log, len(batches), err)
	now := time.Now()
	_, unfit := errors.AsType[sarama.PacketEncodingError](err)
	for _, b := range batches {
		part := b.part
		part.flying = false
		code, berr := sarama.ErrNetworkException, err
		switch {
		case unfit:
			code = sarama.ErrInvalidRecord
		case err == nil:
			code, berr = answerTo(resp, b)
		}
		p.conclude(b, code, sent, fmt.Errorf("send to partition %d of topic %q: %w", part.id, part.topic.name, berr), now)
		p.arm(part)
	}
}

// answerTo finds the answer to a batch.
func answerTo(resp *sarama.ProduceResponse, b *batch) (sarama.KError, error) {
	block := resp.GetBlock(b.part.topic.name, b.part.id)
	if block == nil {
		return sarama.ErrNetworkException, errors.New("answer leaves the partition out")
	}
	if block.ErrorMessage != nil && *block.ErrorMessage != "" {
		return block.Err, fmt.Errorf("%s: %w", *block.ErrorMessage, block.Err)
	}
	return block.Err, block.Err
}

// conclude does what the answer to a batch means.
func (p *Publisher) conclude(b *batch, code sarama.KError, sent bool, err error, now time.Time) {
	part := b.part
	v, class := judge(code)
	switch v {
	case accepted:
		part.acknowledge(b)
	case resend:
		b.unknown = b.unknown || sent
		if !b.unknown {
			for _, it := range b.items {
				it.sent = false
			}
		}
		part.stall(err, now)
	case renew:
		part.dissolve()
		part.renew()
		part.stall(err, now)
	case refused:
		if _, known := rulings[code]; !known {
			b.unknown = true // that it is not in the log, this code does not say
		}
		part.refuse(b, class, err)
	case misdirected:
		part.misdirect(fault(class, err))
	}
}

// report logs when a broker stops answering and when it answers again.
func (l *leader) report(log *slog.Logger, batches int, err error) {
	switch {
	case errors.Is(err, net.ErrClosed): // we did that
		return
	case err != nil && !l.failing:
		log.Warn("kafka broker does not answer", slog.Int("broker", int(l.id)), slog.String("address", l.addr),
			slog.Int("batches", batches), slog.Any("error", err))
	case err == nil && l.failing:
		log.Info("kafka broker answers again", slog.Int("broker", int(l.id)), slog.String("address", l.addr))
	}
	l.failing = err != nil
}
