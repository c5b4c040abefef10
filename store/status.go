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

// statusCap is how far Status counts: far enough to tell calm from trouble, and
// little work for the database.
const statusCap = 10_000

// Count is a number that was counted up to a cap.
type Count struct {
	N int
	// More says that there are more than N.
	More bool
}

func capped(n int) Count {
	if n > statusCap {
		return Count{N: statusCap, More: true}
	}
	return Count{N: n}
}

func (c Count) String() string {
	if c.More {
		return fmt.Sprintf(">%d", c.N)
	}
	return fmt.Sprint(c.N)
}

// Status is how a pipeline stands. Counts are those of its table, also where
// several pipelines share one.
type Status struct {
	Pipeline string
	Table    string
	// Now is the database's clock, by which everything here is measured.
	Now time.Time
	// Paused is nil unless the pipeline is paused.
	Paused *Pause
	// Backlog is rows that are due, those in flight included.
	Backlog Count
	// Lag is the age of the oldest due row, 0 if none is due.
	Lag time.Duration
	// Scheduled rows fall due later, retries included.
	Scheduled Count
	// Leased rows are leased one by one: in flight, or under suspicion.
	Leased Count
	// Held rows wait behind a hold of their key.
	Held Count
	// Holds is how many keys are held for each reason.
	Holds []HoldCount
	// OldestHolds are the keys that have been held longest.
	OldestHolds []Hold
	// Dead is open dead letters by class.
	Dead []DeadCount
	// Workflows are the pipeline's own, also where several share the table.
	Workflows Workflows
	// Slots are the leases of the table's slots.
	Slots []SlotLease
}

// HoldCount is keys held for one reason.
type HoldCount struct {
	Reason string
	Keys   Count
}

// Hold is why a key waits.
type Hold struct {
	Topic        string
	PartitionKey string
	Reason       string
	Since        time.Time
	HeldBy       string
	// EventID of the event that holds the key; nil if a person does.
	EventID *uuid.UUID
	// Waiting rows behind it, as far as a fetch has met them.
	Waiting int
}

// DeadCount is open dead letters of one class.
type DeadCount struct {
	ErrorClass omnibox.Class
	Letters    Count
}

// SlotLease is the lease of a slot.
type SlotLease struct {
	Slot  int
	Owner string
	// Held says that the lease is running.
	Held bool
	// Until is nil if the slot was never leased.
	Until *time.Time
	// Dirty says that the owner has not given it up in order.
	Dirty bool
}

// Status reads how the pipeline stands. Its cost does not depend on the size of
// the table; it takes no lock.
func (s *Store) Status(ctx context.Context) (Status, error) {
	out := Status{Pipeline: s.cfg.Pipeline, Table: s.table}
	for _, read := range []func(context.Context, *Status) error{
		s.readBacklog, s.readRows, s.readPause, s.readHolds, s.readDead, s.readWorkflows, s.readSlots,
	} {
		if err := read(ctx, &out); err != nil {
			return Status{}, fmt.Errorf("read status of %s: %w", s.cfg.Pipeline, hint(err))
		}
	}
	return out, nil
}

func (s *Store) readBacklog(ctx context.Context, out *Status) error {
	var due, later int
	var moreLater bool
	var oldest *time.Time
	err := s.db.QueryRow(ctx, s.sql["status_backlog"], named{"cap": statusCap}).
		Scan(&out.Now, &due, &later, &moreLater, &oldest)
	if err != nil {
		return err
	}
	out.Backlog, out.Scheduled = capped(due), Count{N: later, More: moreLater}
	if oldest != nil {
		out.Lag = max(out.Now.Sub(*oldest), 0)
	}
	return nil
}

func (s *Store) readRows(ctx context.Context, out *Status) error {
	var leased, held int
	err := s.db.QueryRow(ctx, s.sql["status_rows"], named{"cap": statusCap}).Scan(&leased, &held)
	out.Leased, out.Held = capped(leased), capped(held)
	return err
}

func (s *Store) readPause(ctx context.Context, out *Status) error {
	var p Pause
	err := s.db.QueryRow(ctx, s.sql["status_pause"], named{"pipeline": s.cfg.Pipeline}).
		Scan(&p.At, &p.By, &p.Reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	out.Paused = &p
	return err
}

func (s *Store) readHolds(ctx context.Context, out *Status) error {
	rows, _ := s.db.Query(ctx, s.sql["status_holds"], named{"table": s.table, "cap": statusCap})
	var reason string
	var keys int
	_, err := pgx.ForEachRow(rows, []any{&reason, &keys}, func() error {
		out.Holds = append(out.Holds, HoldCount{Reason: reason, Keys: capped(keys)})
		return nil
	})
	if err != nil {
		return err
	}
	rows, _ = s.db.Query(ctx, s.sql["status_oldest_holds"], named{"table": s.table, "limit": 5, "cap": statusCap})
	out.OldestHolds, err = pgx.CollectRows(rows, pgx.RowToStructByName[Hold])
	return err
}

func (s *Store) readDead(ctx context.Context, out *Status) error {
	rows, _ := s.db.Query(ctx, s.sql["status_dead"], named{"table": s.table, "cap": statusCap})
	var class omnibox.Class
	var letters int
	_, err := pgx.ForEachRow(rows, []any{&class, &letters}, func() error {
		out.Dead = append(out.Dead, DeadCount{ErrorClass: class, Letters: capped(letters)})
		return nil
	})
	return err
}

func (s *Store) readSlots(ctx context.Context, out *Status) error {
	rows, _ := s.db.Query(ctx, s.sql["status_slots"], named{"table": s.table})
	var err error
	out.Slots, err = pgx.CollectRows(rows, pgx.RowToStructByName[SlotLease])
	return err
}
