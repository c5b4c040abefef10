package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// schema of what the strategy writes. A service has it among its migrations.
const schema = `create table if not exists deliveries (
	event_id uuid primary key,
	event_type text not null,
	delivered_at timestamptz not null
)`

// deliveries settles events and records those that were delivered.
type deliveries struct {
	db    *pgxpool.Pool
	store *store.Store
	table string // of the events, quoted
}

// Commit records the outcomes. It may be called again with the same ones after an
// error, also after one that hides a success: then it finds all of it written.
func (d *deliveries) Commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	tx, err := d.db.Begin(ctx)
	if err != nil {
		return down(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // does nothing once committed
	// ErrLeaseLost says that some events are another worker's now. The others are
	// settled all the same.
	lost := d.store.CommitTx(ctx, tx, outcomes)
	if lost != nil && !errors.Is(lost, omnibox.ErrLeaseLost) {
		return lost
	}
	if err := d.record(ctx, tx, outcomes); err != nil {
		return down(err)
	}
	if err := tx.Commit(ctx); err != nil {
		return down(err)
	}
	return lost
}

// record writes a row for each event that is completed now: not for one whose
// lease was lost, as its new owner will write it.
func (d *deliveries) record(ctx context.Context, tx pgx.Tx, outcomes []omnibox.Outcome) error {
	var ids []uuid.UUID
	for _, o := range outcomes {
		if o.Verdict == omnibox.Completed {
			ids = append(ids, o.Event.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `insert into deliveries (event_id, event_type, delivered_at)
		select id, event_type, completed_at from `+d.table+` where id = any ($1) and status = 'completed'
		on conflict (event_id) do nothing`, ids)
	return err
}

// down marks an error of the database as no event's fault, and worth another try
// while the lease lasts.
func down(err error) error { return omnibox.Unreachable(fmt.Errorf("record deliveries: %w", err)) }
