package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// Workflows are the events of a pipeline that have a workflow of their own.
type Workflows struct {
	// InFlight events are being delivered for the first time, or again after a
	// replay.
	InFlight Count
	// Retrying events have failed, and wait for their next attempt or are in it.
	Retrying Count
	// Parked events are dead and wait for a person.
	Parked Count
	// Budget is what was left of workflows for healthy events when one was last
	// started; nil if none was: then it is full.
	Budget *Budget
	// Events are some of those that are retrying or parked.
	Events []WorkflowEvent
}

// Budget is a bucket of workflows at some time. It fills as time goes by.
type Budget struct {
	Workflows float64
	At        time.Time
}

// Left is how many workflows may be started now, of most at once, where a minute
// adds aMinute. A nil bucket is full.
func (b *Budget) Left(now time.Time, aMinute, most int) int {
	if b == nil {
		return most
	}
	filled := b.Workflows + max(now.Sub(b.At), 0).Minutes()*float64(aMinute)
	return int(max(min(filled, float64(most)), 0))
}

// WorkflowEvent is a failed event with a workflow.
type WorkflowEvent struct {
	EventID      uuid.UUID
	Topic        string
	PartitionKey string
	Parked       bool
	ErrorClass   omnibox.Class
	Attempts     int
	// Until is when the next attempt is due, or until when a parked event waits.
	Until time.Time
}

func (s *Store) readWorkflows(ctx context.Context, out *Status) error {
	var flying, retrying, parked int
	var tokens *float64
	var at *time.Time
	err := s.db.QueryRow(ctx, s.sql["status_workflows"], named{
		"table": s.table, "pipeline": s.cfg.Pipeline, "workflow": s.workflowOwner(), "cap": statusCap,
	}).Scan(&flying, &retrying, &parked, &tokens, &at)
	if err != nil {
		return err
	}
	w := &out.Workflows
	w.InFlight, w.Retrying, w.Parked = capped(flying), capped(retrying), capped(parked)
	if tokens != nil && at != nil {
		w.Budget = &Budget{Workflows: *tokens, At: *at}
	}
	if retrying+parked == 0 {
		return nil
	}
	rows, _ := s.db.Query(ctx, s.sql["status_workflow_events"], named{
		"table": s.table, "pipeline": s.cfg.Pipeline, "workflow": s.workflowOwner(), "limit": 5,
	})
	w.Events, err = pgx.CollectRows(rows, pgx.RowToStructByName[WorkflowEvent])
	return err
}
