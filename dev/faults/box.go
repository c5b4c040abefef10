package faults

import (
	"context"
	"strings"

	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/store/migrate"
)

// box is what a campaign has under test: an outbox or an inbox.
type box struct {
	// kind is its section of the configuration, and settings what is in there
	// besides what all have.
	kind     string
	settings map[string]any
	table    string
	options  migrate.Options
	// setup is SQL for the migrated database.
	setup string
	// producer writes what goes in, given the database past the proxy.
	producer func(direct string) producer
	// observe watches what comes out.
	observe func(ctx context.Context, direct string) (observer, error)
	// slow is the way to where a worker writes its results.
	slow func(*run) *servers.Proxy
}

// producer makes events until ctx ends, and enters what is certain in a ledger.
type producer interface {
	Run(ctx context.Context, l *Ledger) error
}

// observer sees what becomes of events: deliveries of an outbox, effects of an
// inbox.
type observer interface {
	// Len is how many there were, and of how many different events.
	Len(ctx context.Context) (records, events int)
	// Await waits until each key has come to the given N.
	Await(ctx context.Context, want map[string]int) error
	// All gives every one so far, those of a key in their order.
	All(ctx context.Context) ([]Delivery, error)
	Close()
}

// box is what the campaign has under test.
func (c *Campaign) box() box {
	if c.Ack != "" {
		return c.inbox()
	}
	return c.outbox()
}

// outbox is a box whose rows are written by a service and whose records are in the
// topic.
func (c *Campaign) outbox() box {
	return box{
		kind: "outboxes", table: migrate.DefaultTable,
		producer: func(direct string) producer {
			return &Producer{URL: direct, Topic: c.Name, Rate: c.Rate, Keys: c.Keys, Writers: writers, Seed: c.Seed}
		},
		observe: func(ctx context.Context, _ string) (observer, error) {
			return StartReader(ctx, c.Name, c.Servers.Broker())
		},
		slow: toKafka,
	}
}

// of puts the box's table into a statement.
func (b box) of(sql string) string { return strings.ReplaceAll(sql, "{{table}}", b.table) }
