package billing

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox/store/migrate"
)

// Books are the service's tables.
type Books struct{ DB *pgxpool.Pool }

// Invoice is a row of the service, with what became of its event.
type Invoice struct {
	Order    uuid.UUID
	Customer string
	Ordinal  int
	Status   string // of its event
}

// Place is a point in the books: a time of the database's, and the last number
// that was taken by then.
type Place struct {
	At     time.Time
	Number int64
}

// Create makes the tables, and omnibox's beside them.
func (b Books) Create(ctx context.Context) error {
	if _, err := b.DB.Exec(ctx, statement("create_tables")); err != nil {
		return fmt.Errorf("create tables of billing: %w", err)
	}
	_, err := migrate.Up(ctx, b.DB, migrate.Options{Tables: []string{"outbox_events"}, Inboxes: []string{"inbox_events"}})
	if err != nil {
		return fmt.Errorf("migrate billing: %w", err)
	}
	return nil
}

// Count is how many invoices there are.
func (b Books) Count(ctx context.Context) (n int64, err error) {
	if err = b.DB.QueryRow(ctx, statement("count_invoices")).Scan(&n); err != nil {
		return 0, fmt.Errorf("count invoices: %w", err)
	}
	return n, nil
}

// Read gives all invoices in the order of writing.
func (b Books) Read(ctx context.Context) ([]Invoice, error) {
	rows, err := b.DB.Query(ctx, statement("read_invoices"))
	if err != nil {
		return nil, fmt.Errorf("read invoices: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Invoice])
	if err != nil {
		return nil, fmt.Errorf("read invoices: %w", err)
	}
	return all, nil
}

// Place is where the books are now.
func (b Books) Place(ctx context.Context) (p Place, err error) {
	if err = b.DB.QueryRow(ctx, statement("read_place")).Scan(&p.At, &p.Number); err != nil {
		return p, fmt.Errorf("read place in the books: %w", err)
	}
	return p, nil
}

// After is what the books tell of a place, later on.
type After struct {
	CutOff int64         // runs up to there of which nothing is left
	Idle   time.Duration // until the next invoice; negative if there is none
}

// After looks back at a place.
func (b Books) After(ctx context.Context, p Place) (a After, err error) {
	var next *time.Time
	err = b.DB.QueryRow(ctx, statement("read_after"), pgx.StrictNamedArgs{"number": p.Number}).Scan(&a.CutOff, &next)
	if err != nil {
		return a, fmt.Errorf("look back in the books: %w", err)
	}
	if a.Idle = -1; next != nil {
		a.Idle = next.Sub(p.At)
	}
	return a, nil
}
