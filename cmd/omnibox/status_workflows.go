package main

import (
	"time"

	"github.com/omnibox-go/omnibox/worker/config"
)

// workflowsView is the events with workflows as JSON.
type workflowsView struct {
	InFlight countView `json:"in_flight"`
	Retrying countView `json:"retrying"`
	Parked   countView `json:"parked"`
	// BudgetLeft is how many healthy events may get one now; null unless the lane
	// is auto.
	BudgetLeft *int                `json:"budget_left"`
	Events     []workflowEventView `json:"events"`
}

// workflowEventView is an event with a workflow as JSON.
type workflowEventView struct {
	EventID  string       `json:"event_id"`
	Topic    string       `json:"topic"`
	Key      string       `json:"key"`
	State    string       `json:"state"`
	Class    string       `json:"class"`
	Attempts int          `json:"attempts"`
	Until    time.Time    `json:"until"`
	Workflow workflowView `json:"workflow"`
}

func (s standing) workflows(t temporal) workflowsView {
	w := s.Workflows
	v := workflowsView{
		InFlight: countView(w.InFlight), Retrying: countView(w.Retrying), Parked: countView(w.Parked),
		Events: []workflowEventView{},
	}
	if s.cfg.Lane == config.LaneAuto {
		left := 0
		if s.cfg.WorkflowBudget > 0 {
			left = w.Budget.Left(s.Now, s.cfg.WorkflowBudget, s.cfg.CalmThreshold)
		}
		v.BudgetLeft = &left
	}
	for _, e := range w.Events {
		v.Events = append(v.Events, workflowEventView{
			EventID: e.EventID.String(), Topic: e.Topic, Key: e.PartitionKey,
			State: map[bool]string{true: "parked", false: "retrying"}[e.Parked],
			Class: string(e.ErrorClass), Attempts: e.Attempts, Until: e.Until, Workflow: t.event(s.Pipeline, e.EventID),
		})
	}
	return v
}

// printWorkflows says which events have a workflow. In the batch lane none has,
// unless the lane was another one a moment ago.
func (a *app) printWorkflows(s standing, t temporal) {
	w := s.Workflows
	if s.cfg.Lane == config.LaneBatch && w.InFlight.N+w.Retrying.N+w.Parked.N == 0 {
		return
	}
	v := s.workflows(t)
	a.printf("\nWorkflows of %s, lane %s: %s in flight, %s retrying, %s parked", s.Pipeline, s.cfg.Lane, w.InFlight, w.Retrying, w.Parked)
	if v.BudgetLeft != nil {
		a.printf("; budget left %d of %d, %d more a minute", *v.BudgetLeft, s.cfg.CalmThreshold, s.cfg.WorkflowBudget)
	}
	a.printf("\n")
	if len(v.Events) == 0 {
		return
	}
	rows := make([][]any, len(v.Events))
	for i, e := range v.Events {
		rows[i] = []any{e.State, e.Topic, short(e.Key, 24), e.Class, e.Attempts, upTo[e.State] + stamp(e.Until), e.Workflow.show()}
	}
	a.table([]any{"state", "topic", "key", "class", "attempts", "next", "workflow"}, rows)
}

// upTo says what a time is the end of.
var upTo = map[string]string{"parked": "waits until ", "retrying": "tried at "}
