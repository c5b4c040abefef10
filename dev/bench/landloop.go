package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox/dev/bench/lab"
)

// landLoop is one member of sarama's consumer group that inserts what has arrived
// of a partition with one statement, and then commits its offset. Two partitions at
// once are faster than one, and than all.
func landLoop(ctx context.Context, b *lab.Box, t *tally) error {
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	conf.Consumer.Offsets.Initial = sarama.OffsetOldest
	conf.Consumer.Offsets.AutoCommit.Enable = false
	conf.ChannelBufferSize = poll
	conf.Consumer.MaxWaitTime = 10 * time.Millisecond // commits wait behind fetches of the same connection
	group, err := sarama.NewConsumerGroup(b.Brokers, b.Topic, conf)
	if err != nil {
		return fmt.Errorf("connect to kafka: %w", err)
	}
	inserter := &inserter{box: b, tally: t, turn: make(chan struct{}, workers), errs: make(chan error, 1)}
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- group.Consume(runCtx, []string{b.Topic}, inserter) }()
	select {
	case <-t.done:
	case err = <-inserter.errs:
	}
	stop()
	return errors.Join(err, <-ended, group.Close())
}

// inserter inserts what the claims of a group receive.
type inserter struct {
	box   *lab.Box
	tally *tally
	turn  chan struct{}
	errs  chan error
}

func (*inserter) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*inserter) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim lands one partition.
func (i *inserter) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		messages := arrived(session.Context(), claim.Messages())
		if len(messages) == 0 {
			return nil
		}
		i.turn <- struct{}{}
		err := i.insert(session.Context(), messages)
		<-i.turn
		if err != nil {
			select {
			case i.errs <- err:
			default: // another claim was first
			}
			return err
		}
		session.MarkMessage(messages[len(messages)-1], "")
		session.Commit()
		i.tally.settled(len(messages))
	}
}

// arrived waits for a message, and takes what is there with it.
func arrived(ctx context.Context, from <-chan *sarama.ConsumerMessage) (messages []*sarama.ConsumerMessage) {
	select {
	case m := <-from:
		if m == nil {
			return nil
		}
		messages = append(messages, m)
	case <-ctx.Done():
		return nil
	}
	for len(messages) < poll {
		select {
		case m := <-from:
			if m == nil {
				return messages
			}
			messages = append(messages, m)
		default:
			return messages
		}
	}
	return messages
}

func (i *inserter) insert(ctx context.Context, messages []*sarama.ConsumerMessage) error {
	n := len(messages)
	ids, messageIDs, types := make([]uuid.UUID, n), make([]string, n), make([]string, n)
	keys, payloads := make([]string, n), make([]string, n)
	partitions, offsets, times := make([]int32, n), make([]int64, n), make([]time.Time, n)
	for k, m := range messages {
		ids[k], keys[k], payloads[k] = uuid.New(), string(m.Key), string(m.Value)
		partitions[k], offsets[k], times[k] = m.Partition, m.Offset, m.Timestamp
		for _, h := range m.Headers {
			switch string(h.Key) {
			case "event_id":
				messageIDs[k] = string(h.Value)
			case "event_type":
				types[k] = string(h.Value)
			}
		}
	}
	_, err := i.box.DB.Exec(ctx, statement("loop_land"), pgx.StrictNamedArgs{
		"ids": ids, "message_ids": messageIDs, "types": types, "keys": keys, "payloads": payloads,
		"partitions": partitions, "offsets": offsets, "times": times, "topic": i.box.Topic, "group": i.box.Topic, "source": lab.Source,
	})
	if err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	return nil
}
