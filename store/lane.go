package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// Lane is the table as the workflow lane sees it: rows leased one by one to
// workflows of their events. It is safe for concurrent use.
//
// A row's lease is held by no process but by a workflow, whose activities may run
// anywhere: the fence travels with it. Those who fetch, in either lane, pass over
// a row that is leased so, and what is behind it in its key. When its lease has
// run out, they take it.
type Lane struct {
	rows *Store // settles by the rows' own leases
	from *Store // settles as the events were fetched
	cfg  LaneConfig
}

// LaneConfig bounds a Lane.
type LaneConfig struct {
	// Budget is how many workflows a minute Assign may start; below zero there is
	// no limit. Unused budget is kept up to Burst.
	Budget, Burst int
	// InFlight is how many events may be leased to workflows at once, failed ones
	// not counted.
	InFlight int
	// Lease is how long a workflow's lease lasts, if longer than those of the store:
	// a row cannot be extended while a handler has it locked. The workflow goes on
	// elsewhere without waiting for its end; only without Temporal it is waited for.
	Lease time.Duration
}

// WithoutEscalation is the store with failed events backing off in their rows.
func (s *Store) WithoutEscalation() *Store {
	return s.with(func(cfg *Config) { cfg.Escalation = Escalation{} })
}

// with is the store with another configuration.
func (s *Store) with(change func(*Config)) *Store {
	other := &Store{db: s.db, cfg: s.cfg, table: s.table, partitioned: s.partitioned, sql: s.sql, reading: s.reading}
	change(&other.cfg)
	return other
}

// Lane opens the workflow lane's side of the table.
func (s *Store) Lane(cfg LaneConfig) *Lane {
	rows := s.with(func(c *Config) { c.Claim, c.Owner, c.Lease = ClaimRow, s.workflowOwner(), max(c.Lease, cfg.Lease) })
	return &Lane{rows: rows, from: s, cfg: cfg}
}

// Store settles events under their own leases, for a commit strategy that is made
// from the stock one.
func (l *Lane) Store() *Store { return l.rows }

// Assign passes the leases of events, under which they were fetched, to
// workflows, until a Lease from now: those of the first of them that fit in what
// may be in flight, none if the budget does not cover all. The events that it
// returns have their new fence. The error is ErrLeaseLost if none of the events
// could be had because their leases have passed to others.
func (l *Lane) Assign(ctx context.Context, events []*omnibox.Event) ([]*omnibox.Event, error) {
	if len(events) == 0 {
		return nil, nil
	}
	asked := make([]omnibox.Outcome, len(events))
	for i, e := range events {
		asked[i].Event = e
	}
	var assigned []*omnibox.Event
	err := pgx.BeginFunc(ctx, l.from.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, byIndex); err != nil {
			return err
		}
		live, err := l.from.lock(ctx, tx, asked)
		if err != nil {
			return err
		}
		if len(live) == 0 {
			return omnibox.ErrLeaseLost
		}
		granted, err := l.spend(ctx, tx, len(live))
		if err != nil || !granted {
			return err
		}
		tokens, err := l.assign(ctx, tx, live)
		if err != nil {
			return err
		}
		for _, o := range live {
			if token, ok := tokens[o.Event.ID]; ok {
				o.Event.Fence.Token = token
				assigned = append(assigned, o.Event)
			}
		}
		return nil
	})
	if err != nil {
		return nil, l.from.wrap("assign events", err)
	}
	return assigned, nil
}

// spend takes n workflows from the budget.
func (l *Lane) spend(ctx context.Context, tx pgx.Tx, n int) (granted bool, err error) {
	if l.cfg.Budget < 0 {
		_, err = tx.Exec(ctx, l.from.sql["lock_pipeline"], named{"pipeline": l.from.cfg.Pipeline})
		return true, err
	}
	rows, err := tx.Query(ctx, l.from.sql["spend_budget"], named{
		"pipeline": l.from.cfg.Pipeline, "most": float64(min(l.cfg.Burst, l.cfg.Budget)), "a_minute": float64(l.cfg.Budget), "wanted": float64(n),
	})
	if err != nil {
		return false, err
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[float64])
	return len(left) > 0, err
}

func (l *Lane) assign(ctx context.Context, tx pgx.Tx, live []omnibox.Outcome) (map[uuid.UUID]int64, error) {
	args := refArgs(live)
	args["owner"], args["most"], args["lease"] = l.rows.cfg.Owner, l.cfg.InFlight, l.rows.cfg.Lease.Microseconds()
	rows, err := tx.Query(ctx, l.from.sql["assign"], args)
	if err != nil {
		return nil, err
	}
	return collectTokens(rows)
}

// Suspects tells whether something in slots may have ended its worker: then
// nothing is to be fetched for Assign, since suspicion would be forgotten with
// the claim.
func (l *Lane) Suspects(ctx context.Context, slots []int) (found bool, err error) {
	err = l.from.query(ctx, l.from.db, "suspects", l.from.filterArgs(named{"table": l.from.table, "slots": narrow(slots)}), func(rows pgx.Rows) error {
		found, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
		return err
	})
	return found, l.from.wrap("look for suspects", err)
}

// Begin counts a delivery of the event that ref and fence stand for, makes its
// lease last its full length from now, and returns it with the time by which its
// owner must have stopped sending. The error is ErrLeaseLost when the lease is
// another's, or has run out, and ErrPaused while the pipeline or the key is
// paused: then the event is to be released.
func (l *Lane) Begin(ctx context.Context, ref omnibox.Ref, fence omnibox.Fence) (*omnibox.Event, time.Time, error) {
	asked := time.Now()
	args := l.leaseArgs(ref, fence)
	args["table"], args["pipeline"], args["lease"] = l.rows.table, l.rows.cfg.Pipeline, l.rows.cfg.Lease.Microseconds()
	var p page
	err := l.rows.query(ctx, l.rows.db, "begin", args, func(rows pgx.Rows) (err error) {
		p, err = l.rows.collect(rows, 1)
		return err
	})
	switch {
	case err == nil && len(p.rows) == 0:
		err = omnibox.ErrLeaseLost
	case err == nil && p.paused:
		err = omnibox.ErrPaused
	}
	if err != nil {
		return nil, time.Time{}, l.rows.wrap(fmt.Sprintf("begin event %s", ref.ID), err)
	}
	e := &p.rows[0].Event
	e.Fence = fence
	return e, l.rows.deadline(asked), nil
}

func (l *Lane) leaseArgs(ref omnibox.Ref, fence omnibox.Fence) named {
	return named{"id": ref.ID.String(), "created_at": ref.CreatedAt, "token": fence.Token, "owner": l.rows.cfg.Owner}
}

// Extend makes the lease of an event last its full length from now, and returns
// the new deadline. The error is ErrLeaseLost when the lease is another's.
func (l *Lane) Extend(ctx context.Context, e *omnibox.Event) (time.Time, error) {
	asked := time.Now()
	args := named{
		"ids": uuids{e.ID}.literal(), "created_ats": []time.Time{e.CreatedAt}, "tokens": []int64{e.Fence.Token},
		"owner": l.rows.cfg.Owner, "lease": l.rows.cfg.Lease.Microseconds(),
	}
	var renewed [][16]byte
	err := l.rows.query(ctx, l.rows.db, "extend_rows", args, collectInto(&renewed, pgx.RowTo[[16]byte]))
	if err == nil && len(renewed) == 0 {
		err = l.refuseOthers(ctx, args)
	}
	if err != nil {
		return time.Time{}, l.rows.wrap(fmt.Sprintf("extend lease of event %s", e.ID), err)
	}
	return l.rows.deadline(asked), nil
}

// refuseOthers is ErrLeaseLost unless the row is pending and ours: then its handler
// has it locked.
func (l *Lane) refuseOthers(ctx context.Context, args named) error {
	held := false
	delete(args, "lease")
	err := l.rows.query(ctx, l.rows.db, "row_owners", args, func(rows pgx.Rows) error {
		return eachOwner(rows, func(_ uuid.UUID, pending, ours bool) { held = pending && ours })
	})
	if err == nil && !held {
		err = omnibox.ErrLeaseLost
	}
	return err
}

// GiveBack gives an event that may have ended its worker to the batch lane,
// which runs it alone. A stale fence changes nothing.
func (l *Lane) GiveBack(ctx context.Context, ref omnibox.Ref, fence omnibox.Fence) error {
	return l.rows.wrap(fmt.Sprintf("give back event %s", ref.ID), l.rows.query(ctx, l.rows.db, "give_back", l.leaseArgs(ref, fence), done))
}

// Commit records outcomes as Store.Commit does, under the rows' own leases.
func (l *Lane) Commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	return l.rows.Commit(ctx, outcomes)
}

// Replay puts a dead event back as Store.Replay does, and leases it to its
// workflow at once. The error is ErrNotDead, permanent, with the reason if it is
// not dead.
func (l *Lane) Replay(ctx context.Context, ref omnibox.Ref, by string) (omnibox.Fence, error) {
	var fence omnibox.Fence
	r := resolution{verb: "replayed", by: by, inTx: func(ctx context.Context, tx pgx.Tx, r *resolution, refs []deadRef) (map[uuid.UUID]bool, error) {
		done, err := l.from.replay(ctx, tx, r, refs)
		if err != nil || !done[ref.ID] {
			return done, err
		}
		const noLimit = 1 << 30
		tokens, err := l.from.leaseToWorkflows(ctx, tx, []omnibox.Outcome{{Event: &omnibox.Event{ID: ref.ID, CreatedAt: ref.CreatedAt}}}, noLimit)
		fence.Token = tokens[ref.ID]
		return done, err
	}}
	return fence, l.resolve(ctx, &r, ref)
}

// Discard gives a dead event up as Store.Discard does.
func (l *Lane) Discard(ctx context.Context, ref omnibox.Ref, by, note string) error {
	r := resolution{verb: "discarded", by: by, note: note, inTx: l.from.discard}
	return l.resolve(ctx, &r, ref)
}

// Look returns ErrNotDead, permanent, with the reason, if nobody has to decide
// about a dead event any more.
func (l *Lane) Look(ctx context.Context, ref omnibox.Ref) error {
	r := resolution{verb: "discarded", dryRun: true}
	return l.resolve(ctx, &r, ref)
}

// Forgo takes from a failed event that was escalated what it was given for its
// workflow, which could not be started: it backs off in its row, or is dead with
// its letter alone.
func (l *Lane) Forgo(ctx context.Context, failed omnibox.Outcome) error {
	if failed.Verdict == omnibox.Dead {
		args := named{"table": l.from.table, "id": failed.Event.ID.String(), "created_at": failed.Event.CreatedAt}
		return l.from.wrap(fmt.Sprintf("forgo parking event %s", failed.Event.ID), l.from.query(ctx, l.from.db, "unpark", args, done))
	}
	failed.Verdict = omnibox.Released
	return l.Commit(ctx, []omnibox.Outcome{failed})
}

// ErrNotDead says that an event cannot be replayed or discarded, for the reason
// with it.
var ErrNotDead = errors.New("left as it is")

func (l *Lane) resolve(ctx context.Context, r *resolution, ref omnibox.Ref) error {
	if err := l.from.resolve(ctx, r, []DeadID{{Event: ref.ID}}, DeadFilter{}); err != nil {
		return l.from.wrap(fmt.Sprintf("%s event %s", r.verb, ref.ID), err)
	}
	if r.done == 0 && len(r.refused) > 0 {
		return omnibox.Permanent(fmt.Errorf("event %s: %w: %s", ref.ID, ErrNotDead, r.refused[0].Reason))
	}
	return nil
}
