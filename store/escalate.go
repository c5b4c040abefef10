package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// workflowOwner is who leases the rows of events that have a workflow of their
// own.
func (s *Store) workflowOwner() string { return "workflow:" + s.cfg.Pipeline }

// lockPipeline makes those take turns who will count how many workflows there
// are. It comes behind the locks of leases and before those of holds and rows.
func (s *Store) lockPipeline(ctx context.Context, tx pgx.Tx, v *verdicts) error {
	if s.cfg.Escalation == (Escalation{}) || len(v.retried)+len(v.dead) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, s.sql["lock_pipeline"], named{"pipeline": s.cfg.Pipeline})
	return err
}

// escalate gives failed events a workflow of their own, as many as may have one,
// and says so in the events: those that are retried get the lease of their row,
// those that are dead are parked.
func (s *Store) escalate(ctx context.Context, tx pgx.Tx, v *verdicts) error {
	for _, o := range v.retried {
		o.Event.Escalated = false // a repeated call may find otherwise
	}
	for _, o := range v.dead {
		o.Event.Escalated = false
	}
	limits := s.cfg.Escalation
	if limits.Most > 0 && len(v.retried) > 0 {
		tokens, err := s.leaseToWorkflows(ctx, tx, v.retried, limits.Most)
		if err != nil {
			return err
		}
		for _, o := range v.retried {
			if token, ok := tokens[o.Event.ID]; ok {
				o.Event.Escalated, o.Event.Fence.Token = true, token
			}
		}
	}
	if limits.Parked > 0 && len(v.dead) > 0 {
		return s.park(ctx, tx, v.dead)
	}
	return nil
}

// leaseToWorkflows leases rows until two minutes after they are due, as many as
// fit beside those that workflows have, and returns the tokens.
func (s *Store) leaseToWorkflows(ctx context.Context, tx pgx.Tx, failed []omnibox.Outcome, most int) (map[uuid.UUID]int64, error) {
	args := refArgs(failed)
	args["workflow"], args["most"], args["keep"] = s.workflowOwner(), most, s.cfg.Owner == s.workflowOwner()
	rows, err := tx.Query(ctx, s.sql["escalate"], args)
	if err != nil {
		return nil, err
	}
	return collectTokens(rows)
}

func (s *Store) park(ctx context.Context, tx pgx.Tx, dead []omnibox.Outcome) error {
	args := refArgs(dead)
	args["table"], args["pipeline"] = s.table, s.cfg.Pipeline
	args["most"], args["park_for"] = s.cfg.Escalation.Parked, s.cfg.Escalation.ParkFor.Microseconds()
	rows, err := tx.Query(ctx, s.sql["park"], args)
	if err != nil {
		return err
	}
	return sayParked(rows, dead)
}

// sayParked says in the events which of them are parked: those whose ids are in rows.
func sayParked(rows pgx.Rows, dead []omnibox.Outcome) error {
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return err
	}
	parked := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		parked[id] = true
	}
	for _, o := range dead {
		o.Event.Escalated = parked[o.Event.ID]
	}
	return nil
}

// collectTokens reads rows of an id and a token.
func collectTokens(rows pgx.Rows) (map[uuid.UUID]int64, error) {
	var id [16]byte
	var token int64
	tokens := map[uuid.UUID]int64{}
	_, err := pgx.ForEachRow(rows, []any{&id, &token}, func() error {
		tokens[id] = token
		return nil
	})
	return tokens, err
}
