package main

import (
	"time"

	"github.com/omnibox-go/omnibox/store"
)

// staleAfter is how old a consumer's report is when the consumer is no more, or
// cannot reach the database: it reports every second.
const staleAfter = 15 * time.Second

// consumerView is a partition of an inbox's consumers as JSON. Without a topic it is
// what a consumer says of itself.
type consumerView struct {
	Topic     string    `json:"topic,omitempty"`
	Partition int32     `json:"partition"`
	Owner     string    `json:"owner"`
	Position  int64     `json:"position"`
	HighWater int64     `json:"high_water"`
	Lag       int64     `json:"lag"`
	Paused    bool      `json:"paused"`
	Error     string    `json:"error,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
	Stale     bool      `json:"stale"`
}

func (one standing) consumerViews() []consumerView {
	var all []consumerView
	for _, p := range one.consumers {
		all = append(all, consumerView{
			Topic: p.Topic, Partition: p.Partition, Owner: p.Owner, Position: p.Position, HighWater: p.HighWater,
			Lag: p.Lag(), Paused: p.Paused, Error: p.Error,
			UpdatedAt: p.UpdatedAt, Stale: one.Now.Sub(p.UpdatedAt) > staleAfter,
		})
	}
	return all
}

// printConsumers shows what an inbox consumes, or that nobody does.
func (a *app) printConsumers(one standing) {
	if one.cfg.Inbox == nil {
		return
	}
	views := one.consumerViews()
	if len(views) == 0 {
		a.printf("\nNobody consumes for %s.\n", one.Pipeline)
		return
	}
	var rows [][]any
	for _, v := range views {
		state := "consuming"
		switch {
		case v.Stale:
			state = "not heard of for " + span(one.Now.Sub(v.UpdatedAt))
		case v.Paused:
			state = "held back: too many wait"
		}
		if v.Partition != store.NoPartition {
			rows = append(rows, []any{v.Topic, v.Partition, v.Position, v.Lag, state, v.Owner})
		}
	}
	if len(rows) > 0 {
		a.printf("\nPartitions of %s, consumed as group %s:\n", one.Pipeline, one.cfg.Inbox.Group)
		a.table([]any{"topic", "partition", "next offset", "lag", "state", "worker"}, rows)
	}
	for _, v := range views {
		if v.Error != "" {
			a.printf("\nThe consumer in %s: %s\n", v.Owner, v.Error)
		}
	}
}
