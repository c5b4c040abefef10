package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// NoPartition is the Partition of what a consumer reports about a topic, or about
// itself, rather than about a partition.
const NoPartition = -1

// ConsumerPartition is a partition as its consumer last reported it, for people to
// see: no offset is taken from here.
type ConsumerPartition struct {
	Topic     string
	Partition int32
	// Member is the consumer, Owner the worker that it runs in.
	Member, Owner string
	// Position is the offset that is read next, HighWater the one that is written
	// next; their difference is the lag.
	Position, HighWater int64
	// Paused says that nothing is read for now.
	Paused bool
	// Error is what went wrong last, without any part of a payload; empty if
	// nothing is wrong.
	Error string
	// UpdatedAt is when it was reported, by the database's clock.
	UpdatedAt time.Time
}

// Lag is how many messages have not been read; 0 if that is not known.
func (p ConsumerPartition) Lag() int64 { return max(p.HighWater-p.Position, 0) }

// ReportConsumer records the partitions that a member of the pipeline's consumers
// has now, in place of those that it reported before. The Member, Owner and
// UpdatedAt of partitions are set here. Of a partition that two members report, the
// latest counts.
func (s *Store) ReportConsumer(ctx context.Context, member string, partitions []ConsumerPartition) error {
	sorted := slices.SortedFunc(slices.Values(partitions), func(a, b ConsumerPartition) int { // one order for all who lock rows
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	n := len(sorted)
	topics, numbers, errs, paused := make([]string, n), make([]int32, n), make([]string, n), make([]bool, n)
	positions, highs := make([]int64, n), make([]int64, n)
	for i, p := range sorted {
		topics[i], numbers[i], positions[i], highs[i], paused[i] = p.Topic, p.Partition, p.Position, p.HighWater, p.Paused
		if p.Error != "" {
			errs[i] = LastError(p.Error)
		}
	}
	args := named{"pipeline": s.cfg.Pipeline, "member": member, "topics": topics, "partitions": numbers}
	if _, err := s.db.Exec(ctx, s.sql["consumer_forget"], args); err != nil {
		return s.wrap("report a consumer", err)
	}
	if n == 0 {
		return nil
	}
	args["owner"], args["positions"], args["high_waters"], args["paused"], args["errors"] = s.cfg.Owner, positions, highs, paused, errs
	_, err := s.db.Exec(ctx, s.sql["consumer_report"], args)
	return s.wrap("report a consumer", err)
}

// ForgetConsumer removes what a member has reported, which has stopped.
func (s *Store) ForgetConsumer(ctx context.Context, member string) error {
	return s.ReportConsumer(ctx, member, nil)
}

// Consumers lists the partitions of the pipeline's consumers as they were last
// reported, by topic and partition. A member that ended without a word is in it
// still: UpdatedAt tells. It takes no lock.
func (s *Store) Consumers(ctx context.Context) ([]ConsumerPartition, error) {
	rows, _ := s.db.Query(ctx, s.sql["consumer_list"], named{"pipeline": s.cfg.Pipeline})
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[ConsumerPartition])
	return all, s.wrap("list consumers", err)
}
