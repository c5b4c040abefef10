package worker

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/store"
)

// consumeSlice is how long one consumer goes on before it reports back. As its
// group is balanced anew then, it is long.
const consumeSlice = 24 * time.Hour

// consumers are the activities of an inbox's consumers.
func (b *box) consumers(database string) *activities.Consumers {
	return &activities.Consumers{Database: database, Members: b.members(), Slice: consumeSlice, Run: b.consume}
}

// members is how many consumers there are, over all workers.
func (b *box) members() int {
	if b.cfg.Inbox == nil {
		return 0
	}
	return b.cfg.Inbox.Consumers
}

// consume lands messages until ctx ends, as a member of the group.
func (b *box) consume(ctx context.Context, landed func(messages int)) error {
	consumer, err := b.worker.newConsumer(b.cfg.Broker, b.cfg.Inbox.Subscription())
	if err != nil {
		return err
	}
	in := b.cfg.Inbox
	table := &landingTable{Store: b.store, member: b.owner + "/" + uuid.NewString()[:8], most: in.MaxPending}
	defer table.forget(ctx)
	l := inbox.Lander{
		Consumer: consumer, Read: b.reader.Read, Table: table,
		Ack: inbox.Ack(in.Ack), CommitOnFailed: in.CommitOnFailed, MaxUncommitted: in.MaxPending, Log: b.log,
		Landed: func(n inbox.Landed) {
			b.metrics.landed(b.name, n)
			landed(n.New + n.Duplicates + n.Unreadable)
		},
	}
	return l.Run(ctx)
}

// consumeAlone is consume without Temporal. Other members of the group that still
// run share its partitions.
func (b *box) consumeAlone(ctx context.Context) {
	for {
		err := b.consume(ctx, func(int) {})
		if ctx.Err() != nil {
			return
		}
		b.log.WarnContext(ctx, "consuming without Temporal, trying again", slog.Any("error", err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryFirst):
		}
	}
}

// landingTable is a table as the lander of one consumer sees it.
type landingTable struct {
	*store.Store
	member   string
	most     int
	reported atomic.Bool
}

var _ inbox.Table = (*landingTable)(nil)

// Land writes messages.
func (t *landingTable) Land(ctx context.Context, events []*omnibox.Event) (inbox.Landed, error) {
	n, err := t.Store.Land(ctx, events)
	return inbox.Landed(n), err
}

// Settled gives those of message ids that need nobody any more.
func (t *landingTable) Settled(ctx context.Context, ids []string, dead bool) (map[string]bool, error) {
	open, err := t.Unsettled(ctx, ids)
	if err != nil {
		return nil, err
	}
	settled := make(map[string]bool, len(ids))
	for _, id := range ids {
		if status, found := open[id]; !found || dead && status == omnibox.StatusFailed {
			settled[id] = true
		}
	}
	return settled, nil
}

// Full tells whether as many messages wait as may.
func (t *landingTable) Full(ctx context.Context) (bool, error) {
	return t.Store.Full(ctx, t.most)
}

// Report writes how it stands with the consumer where other processes see it.
func (t *landingTable) Report(ctx context.Context, s broker.ConsumerStatus) error {
	var all []store.ConsumerPartition
	for _, a := range s.Assigned {
		all = append(all, store.ConsumerPartition{
			Topic: a.Topic, Partition: a.ID, Position: a.Position, HighWater: a.HighWater, Paused: s.Paused,
		})
	}
	if s.Err != nil {
		all = append(all, store.ConsumerPartition{Partition: store.NoPartition, Error: s.Err.Error(), Paused: s.Paused})
	}
	t.reported.Store(true)
	return t.ReportConsumer(ctx, t.member, all)
}

const forgetTimeout = 2 * time.Second

// forget takes back what was reported.
func (t *landingTable) forget(ctx context.Context) {
	if !t.reported.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTimeout)
	defer cancel()
	_ = t.ForgetConsumer(ctx, t.member) // what is left is seen to be old
}

// newConsumer makes a member of a group at a configured broker.
func (w *Worker) newConsumer(name string, sub broker.Subscription) (broker.Consumer, error) {
	if own := w.options.consumers[name]; own != nil {
		return own(sub)
	}
	return newConsumer(w.cfg.Brokers[name], sub, w.log)
}
