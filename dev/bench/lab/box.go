package lab

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Keys is how many keys the events of a box have, in turn.
const Keys = 1000

// PayloadBytes is the length of each payload.
const PayloadBytes = 256

// partitions of a box's topic.
const partitions = 8

// Box is an outbox or an inbox of its own for one run: a database with the migrated
// tables outbox_events and inbox_events, and a topic.
type Box struct {
	DB      *pgxpool.Pool
	URL     string
	Topic   string
	Brokers []string

	name  string
	lab   *Lab
	admin sarama.ClusterAdmin
}

//go:embed sql/fill.sql
var fill string

// Box makes one. Close removes it.
func (l *Lab) Box(ctx context.Context) (*Box, error) {
	name := fmt.Sprintf("bench_%d", l.runs.Add(1))
	if err := l.admin(ctx, "drop database if exists "+name+" with (force)", "create database "+name+" template "+template); err != nil {
		return nil, err
	}
	b := &Box{Topic: name, Brokers: l.brokers, name: name, lab: l}
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.Close(ctx))
	}
	return b, nil
}

func (b *Box) open(ctx context.Context) (err error) {
	if b.URL, err = b.lab.postgres.DatabaseURL(b.name); err != nil {
		return err
	}
	cfg, err := pgxpool.ParseConfig(b.URL)
	if err != nil {
		return err
	}
	cfg.MaxConns = 16
	if b.DB, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return err
	}
	conf := sarama.NewConfig()
	if b.admin, err = sarama.NewClusterAdmin(b.Brokers, conf); err != nil {
		return fmt.Errorf("connect to kafka: %w", err)
	}
	err = b.admin.CreateTopic(b.Topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", b.Topic, err)
	}
	return b.awaitTopic(ctx)
}

// awaitTopic returns when the leader of every partition answers for it: a run
// must not begin with a client's pause before it asks again.
func (b *Box) awaitTopic(ctx context.Context) error {
	for {
		_, err := b.Sent()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for topic: %w: %w", context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Fill writes due events, and leaves the table as a day of quiet would: vacuumed,
// analyzed, and with nothing that waits for a checkpoint.
func (b *Box) Fill(ctx context.Context, events int) error {
	args := pgx.StrictNamedArgs{"topic": b.Topic, "events": events, "keys": Keys, "payload_bytes": PayloadBytes}
	if _, err := b.DB.Exec(ctx, fill, args); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	return b.Settle(ctx)
}

// Settle vacuums and analyzes the tables, and has everything written to the disk.
func (b *Box) Settle(ctx context.Context) error {
	for _, s := range []string{"vacuum analyze outbox_events, inbox_events", "checkpoint"} {
		if _, err := b.DB.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// Verify checks that all events of a Fill were sent, and are pending no more.
// A loop that is fast because it loses events has no place in a table.
func (b *Box) Verify(ctx context.Context, events int) error {
	sent, err := b.Sent()
	if err != nil {
		return err
	}
	var pending int
	if err := b.DB.QueryRow(ctx, "select count(*) from outbox_events where status = 'pending'").Scan(&pending); err != nil {
		return fmt.Errorf("count pending: %w", err)
	}
	if sent != int64(events) || pending != 0 {
		return fmt.Errorf("of %d events %d are in the topic and %d still pending", events, sent, pending)
	}
	return nil
}

// Sent counts the records in the topic.
func (b *Box) Sent() (n int64, err error) {
	client, err := sarama.NewClient(b.Brokers, nil)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	for p := range int32(partitions) {
		end, err := client.GetOffset(b.Topic, p, sarama.OffsetNewest)
		if err != nil {
			return 0, fmt.Errorf("end of %s/%d: %w", b.Topic, p, err)
		}
		n += end
	}
	return n, nil
}

// Close removes the database and the topic.
func (b *Box) Close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if b.admin != nil {
		errs = append(errs, b.admin.DeleteTopic(b.Topic), b.admin.Close())
	}
	if b.DB != nil {
		b.DB.Close()
	}
	errs = append(errs, b.lab.admin(ctx, "drop database if exists "+b.name+" with (force)"))
	return errors.Join(errs...)
}
