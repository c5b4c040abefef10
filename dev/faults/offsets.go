package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// uncommitted is how many messages of the topic the group has not committed. A
// message is counted that is there twice, so there may be more than the ledger has.
func uncommitted(ctx context.Context, broker, topic, group string) (int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	ends, numbers := kmsg.NewPtrListOffsetsRequest(), []int32{}
	ends.ReplicaID = -1
	of := kmsg.NewListOffsetsRequestTopic()
	of.Topic = topic
	for p := range int32(partitions) {
		end := kmsg.NewListOffsetsRequestTopicPartition()
		end.Partition, end.Timestamp = p, -1 // the newest
		of.Partitions, numbers = append(of.Partitions, end), append(numbers, p)
	}
	ends.Topics = append(ends.Topics, of)
	newest, err := ends.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	fetch, asked := kmsg.NewPtrOffsetFetchRequest(), kmsg.NewOffsetFetchRequestTopic()
	fetch.Group, asked.Topic, asked.Partitions = group, topic, numbers
	fetch.Topics = append(fetch.Topics, asked)
	committed, err := fetch.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	var lag int64
	for _, t := range newest.Topics {
		for _, p := range t.Partitions {
			lag += p.Offset
		}
	}
	for _, t := range committed.Topics {
		for _, p := range t.Partitions {
			lag -= max(p.Offset, 0)
		}
	}
	return lag, nil
}

// awaitCommitted waits until the group has committed every message.
func (r *run) awaitCommitted(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readLimit, fmt.Errorf("offsets are not committed after %s", readLimit))
	defer cancel()
	for {
		lag, err := uncommitted(ctx, r.Servers.Broker(), r.Name, r.Name)
		if err == nil && lag == 0 {
			return nil
		}
		pause(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return errors.Join(fmt.Errorf("%d messages: %w", lag, context.Cause(ctx)), err)
		}
	}
}
