package main

import "time"

// statusView is a status as JSON.
type statusView struct {
	Pipeline   string               `json:"pipeline"`
	Table      string               `json:"table"`
	Now        time.Time            `json:"now"`
	Lane       string               `json:"lane"`
	Paused     *pauseView           `json:"paused"`
	Backlog    countView            `json:"backlog"`
	LagSeconds float64              `json:"lag_seconds"`
	Scheduled  countView            `json:"scheduled"`
	Leased     countView            `json:"leased"`
	Held       countView            `json:"held"`
	HeldKeys   map[string]countView `json:"held_keys"`
	Oldest     []holdView           `json:"oldest_holds"`
	Dead       map[string]countView `json:"dead_letters"`
	Broker     string               `json:"broker_error,omitempty"` // why it does not answer here
	Consumers  []consumerView       `json:"consumers,omitempty"`
	Workflows  workflowsView        `json:"workflows"`
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

func statusViews(all []standing, t temporal) []statusView {
	views := make([]statusView, len(all))
	for i, one := range all {
		s := one.Status
		v := statusView{
			Pipeline: s.Pipeline, Table: s.Table, Now: s.Now, Lane: one.cfg.Lane, LagSeconds: s.Lag.Seconds(), Workflows: one.workflows(t), Broker: errorText(one.broker),
			Backlog: countView(s.Backlog), Scheduled: countView(s.Scheduled), Leased: countView(s.Leased), Held: countView(s.Held),
			HeldKeys: map[string]countView{}, Oldest: []holdView{}, Dead: map[string]countView{},
		}
		v.Consumers = one.consumerViews()
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

// errorText is empty if there is no error.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
