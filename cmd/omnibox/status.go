package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker/config"
)

func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status [pipeline...]", Short: "Show how pipelines stand: backlog, lag, held keys, dead letters, leases",
		Long: `Shows how all pipelines stand, or those named. Numbers are counted up to 10,000;
beyond that they read >10000. It is cheap whatever the size of the table.`,
		Example: `  omnibox status
  omnibox status orders --output json | jq '.[0].lag_seconds'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withBoxes(cmd.Context(), args, func(_ *config.Config, boxes []box) error {
				all := make([]store.Status, len(boxes))
				for i, b := range boxes {
					var err error
					if all[i], err = b.Status(cmd.Context()); err != nil {
						return err
					}
				}
				if a.output == "json" {
					return a.json(statusViews(all))
				}
				a.printStatus(all)
				return nil
			})
		},
	}
}

func (a *app) printStatus(all []store.Status) {
	rows := make([][]any, len(all))
	for i, s := range all {
		rows[i] = []any{
			s.Pipeline, s.Table, state(s), s.Backlog, span(s.Lag), s.Scheduled, s.Held, holds(s), dead(s), leases(s),
		}
	}
	a.table([]any{"pipeline", "table", "state", "backlog", "lag", "scheduled", "held", "held keys", "dead", "slots"}, rows)
	for _, s := range all {
		a.printDetails(s)
	}
}

// printDetails says what a column has no room for.
func (a *app) printDetails(s store.Status) {
	if s.Paused != nil {
		a.printf("\n%s is paused since %s by %s. %s\n", s.Pipeline, stamp(s.Paused.At), s.Paused.By, s.Paused.Reason)
	}
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

// statusView is a status as JSON.
type statusView struct {
	Pipeline   string               `json:"pipeline"`
	Table      string               `json:"table"`
	Now        time.Time            `json:"now"`
	Paused     *pauseView           `json:"paused"`
	Backlog    countView            `json:"backlog"`
	LagSeconds float64              `json:"lag_seconds"`
	Scheduled  countView            `json:"scheduled"`
	Leased     countView            `json:"leased"`
	Held       countView            `json:"held"`
	HeldKeys   map[string]countView `json:"held_keys"`
	Oldest     []holdView           `json:"oldest_holds"`
	Dead       map[string]countView `json:"dead_letters"`
	Slots      []slotView           `json:"slots"`
}

type pauseView struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// countView is a number, with "more" where counting stopped.
type countView struct {
	N    int  `json:"n"`
	More bool `json:"more"`
}

type holdView struct {
	Topic   string    `json:"topic"`
	Key     string    `json:"key"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	HeldBy  string    `json:"held_by,omitempty"`
	EventID string    `json:"event_id,omitempty"`
	Waiting int       `json:"waiting"`
}

type slotView struct {
	Slot   int        `json:"slot"`
	Owner  string     `json:"owner"`
	Leased bool       `json:"leased"`
	Until  *time.Time `json:"until"`
	Dirty  bool       `json:"dirty"`
}

func statusViews(all []store.Status) []statusView {
	views := make([]statusView, len(all))
	for i, s := range all {
		v := statusView{
			Pipeline: s.Pipeline, Table: s.Table, Now: s.Now, LagSeconds: s.Lag.Seconds(),
			Backlog: countView(s.Backlog), Scheduled: countView(s.Scheduled), Leased: countView(s.Leased), Held: countView(s.Held),
			HeldKeys: map[string]countView{}, Oldest: []holdView{}, Dead: map[string]countView{},
		}
		if s.Paused != nil {
			v.Paused = new(pauseView(*s.Paused))
		}
		for _, h := range s.Holds {
			v.HeldKeys[h.Reason] = countView(h.Keys)
		}
		for _, h := range s.OldestHolds {
			one := holdView{Topic: h.Topic, Key: h.PartitionKey, Reason: h.Reason, Since: h.Since, HeldBy: h.HeldBy, Waiting: h.Waiting}
			if h.EventID != nil {
				one.EventID = h.EventID.String()
			}
			v.Oldest = append(v.Oldest, one)
		}
		for _, d := range s.Dead {
			v.Dead[string(d.ErrorClass)] = countView(d.Letters)
		}
		for _, slot := range s.Slots {
			v.Slots = append(v.Slots, slotView{Slot: slot.Slot, Owner: slot.Owner, Leased: slot.Held, Until: slot.Until, Dirty: slot.Dirty})
		}
		views[i] = v
	}
	return views
}
