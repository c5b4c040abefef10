package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker/config"
)

func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status [pipeline...]", Short: "Show how pipelines stand: backlog, lag, held keys, dead letters, consumers, workflows, leases",
		Long: `Shows how all pipelines stand, or those named. Numbers are counted up to 10,000;
beyond that they read >10000. It is cheap whatever the size of the table.

Where events of an outbox have waited for longer than 15s it also asks the broker,
from here, whether it answers.

Of failed events that have a workflow it shows some, with links to Temporal's UI
(temporal.ui).`,
		Example: `  omnibox status
  omnibox status orders --output json | jq '.[0].lag_seconds'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withBoxes(cmd.Context(), args, func(cfg *config.Config, boxes []box) error {
				all := make([]standing, len(boxes))
				for i, b := range boxes {
					all[i].cfg = b.cfg
					var err error
					if all[i].Status, err = b.Status(cmd.Context()); err != nil {
						return err
					}
					if b.cfg.Inbox == nil {
						all[i].broker = brokerTrouble(cmd.Context(), cfg, all[i])
						continue
					}
					if all[i].consumers, err = b.Consumers(cmd.Context()); err != nil {
						return err
					}
				}
				t := newTemporal(cfg.Temporal)
				if a.output == "json" {
					return a.json(statusViews(all, t))
				}
				a.printStatus(all, t)
				return nil
			})
		},
	}
}

// standing is how a pipeline stands, and is configured.
type standing struct {
	store.Status
	cfg       config.Box
	consumers []store.ConsumerPartition // of an inbox
	broker    error                     // of an outbox
}

func (a *app) printStatus(all []standing, t temporal) {
	rows := make([][]any, len(all))
	for i, one := range all {
		s := one.Status
		rows[i] = []any{
			s.Pipeline, s.Table, state(s), s.Backlog, span(s.Lag), s.Scheduled, s.Held, holds(s), dead(s), leases(s),
		}
	}
	a.table([]any{"pipeline", "table", "state", "backlog", "lag", "scheduled", "held", "held keys", "dead", "slots"}, rows)
	for _, s := range all {
		a.printDetails(s, t)
	}
}

// printDetails says what a column has no room for.
func (a *app) printDetails(one standing, t temporal) {
	s := one.Status
	if s.Paused != nil {
		a.printf("\n%s is paused %s.\n", s.Pipeline, since(*s.Paused))
	}
	if one.broker != nil {
		a.printf("\nThe broker of %s, %s, does not answer here: %s\n", s.Pipeline, one.cfg.Broker, one.broker)
	}
	a.printConsumers(one)
	a.printWorkflows(one, t)
	if s.Leased.N > 0 {
		a.printf("\n%s: %s rows are leased one by one.\n", s.Pipeline, s.Leased)
	}
	if len(s.OldestHolds) > 0 {
		a.printf("\nKeys of %s that have been held longest:\n", s.Pipeline)
		rows := make([][]any, len(s.OldestHolds))
		for i, h := range s.OldestHolds {
			rows[i] = []any{h.Topic, h.PartitionKey, h.Reason, span(s.Now.Sub(h.Since)), h.Waiting, holder(h)}
		}
		a.table([]any{"topic", "key", "reason", "for", "waiting", "held by"}, rows)
	}
	if owners := owners(s); len(owners) > 0 {
		a.printf("\nLeases of %s:\n", s.Pipeline)
		a.table([]any{"owner", "slots", "until", "unfinished"}, owners)
	}
}

func state(s store.Status) string {
	if s.Paused != nil {
		return "paused"
	}
	return "running"
}

func holds(s store.Status) string {
	parts := make([]string, len(s.Holds))
	for i, h := range s.Holds {
		parts[i] = fmt.Sprintf("%s %s", h.Keys, h.Reason)
	}
	return orDash(list(parts))
}

func dead(s store.Status) string {
	parts := make([]string, len(s.Dead))
	for i, d := range s.Dead {
		parts[i] = fmt.Sprintf("%s %s", d.Letters, d.ErrorClass)
	}
	return orDash(list(parts))
}

func leases(s store.Status) string {
	held := 0
	for _, slot := range s.Slots {
		if slot.Held {
			held++
		}
	}
	return fmt.Sprintf("%d/%d leased", held, len(s.Slots))
}

func holder(h store.Hold) string {
	if h.EventID != nil {
		return "event " + h.EventID.String()
	}
	return orDash(h.HeldBy)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// owners groups the leases that run, or were not given up, by their owner.
func owners(s store.Status) [][]any {
	var rows [][]any
	at := map[string]int{}
	for _, slot := range s.Slots {
		if !slot.Held && !slot.Dirty {
			continue
		}
		i, ok := at[slot.Owner]
		if !ok {
			i = len(rows)
			at[slot.Owner] = i
			rows = append(rows, []any{orDash(slot.Owner), 0, "", 0})
		}
		rows[i][1] = rows[i][1].(int) + 1
		if slot.Until != nil {
			rows[i][2] = max(rows[i][2].(string), stamp(*slot.Until))
		}
		if slot.Dirty && !slot.Held {
			rows[i][3] = rows[i][3].(int) + 1
		}
	}
	return rows
}
