package lab

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/IBM/sarama"
	"github.com/jackc/pgx/v5"
)

// Source is what the messages of an inbox name.
const Source = "shop"

//go:embed sql/fill_inbox.sql
var fillInbox string

//go:embed sql/landed.sql
var landed string

//go:embed sql/handled.sql
var handled string

// FillInbox writes due messages, makes the table effects for what handlers write,
// and leaves all as Fill does.
func (b *Box) FillInbox(ctx context.Context, messages int) error {
	if _, err := b.DB.Exec(ctx, `create table effects (
		id bigint generated always as identity primary key, message_id text not null, key text not null, n int not null)`); err != nil {
		return fmt.Errorf("make table of effects: %w", err)
	}
	args := pgx.StrictNamedArgs{
		"topic": b.Topic, "group": b.Topic, "source": Source, "messages": messages, "keys": Keys,
		"payload_bytes": PayloadBytes, "partitions": partitions,
	}
	if _, err := b.DB.Exec(ctx, fillInbox, args); err != nil {
		return fmt.Errorf("fill inbox: %w", err)
	}
	return b.Settle(ctx)
}

// AwaitGroups returns when the broker knows who looks after the box's group: the
// first group makes it prepare for all, which is not what a run measures.
func (b *Box) AwaitGroups() error {
	client, err := sarama.NewClient(b.Brokers, nil)
	if err != nil {
		return fmt.Errorf("connect to kafka: %w", err)
	}
	defer client.Close()
	if _, err := client.Coordinator(b.Topic); err != nil {
		return fmt.Errorf("look for the group's coordinator: %w", err)
	}
	return nil
}

// VerifyLanded checks that each message of the topic is in the inbox once, in the
// order of its partition, and that its group, which is named like the topic, has
// committed all offsets.
func (b *Box) VerifyLanded(ctx context.Context, messages int) error {
	var rows, distinct, disordered int
	if err := b.DB.QueryRow(ctx, landed).Scan(&rows, &distinct, &disordered); err != nil {
		return fmt.Errorf("count landed: %w", err)
	}
	if rows != messages || distinct != messages || disordered != 0 {
		return fmt.Errorf("of %d messages there are %d pending rows at %d places of the topic, %d of them out of order", messages, rows, distinct, disordered)
	}
	all := make([]int32, partitions)
	for p := range all {
		all[p] = int32(p)
	}
	offsets, err := b.admin.ListConsumerGroupOffsets(b.Topic, map[string][]int32{b.Topic: all})
	if err != nil {
		return fmt.Errorf("look for committed offsets: %w", err)
	}
	committed := int64(0)
	for p := range all {
		committed += max(offsets.GetBlock(b.Topic, int32(p)).Offset, 0)
	}
	if committed != int64(messages) {
		return fmt.Errorf("of %d messages %d are committed", messages, committed)
	}
	return nil
}

// VerifyHandled checks that all messages of FillInbox are completed and, if they
// have effects, that each has one, in the order of its key.
func (b *Box) VerifyHandled(ctx context.Context, messages int, effects bool) error {
	var completed, other, rows, distinct, disordered int
	if err := b.DB.QueryRow(ctx, handled).Scan(&completed, &other, &rows, &distinct, &disordered); err != nil {
		return fmt.Errorf("count handled: %w", err)
	}
	wanted := 0
	if effects {
		wanted = messages
	}
	if completed != messages || other != 0 || rows != wanted || distinct != wanted || disordered != 0 {
		return fmt.Errorf("of %d messages %d are completed, %d are not; there are %d effects of %d messages, %d of them out of order",
			messages, completed, other, rows, distinct, disordered)
	}
	return nil
}
