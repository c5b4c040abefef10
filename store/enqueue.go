package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// Outbox is the producer's side of a table of events. The zero value writes to
// outbox_events. It holds nothing and may be copied.
type Outbox struct {
	// Table, optionally with its schema. Defaults to outbox_events.
	Table string
	// SerializeKeys makes transactions that write events of the same topic and
	// key wait for one another, from Enqueue until they end, so that their
	// events are delivered in the order of their commits. Without it such
	// transactions have no order of their own. Within one call the keys are
	// locked in one order for all; calls that lock further keys in the same
	// transaction can deadlock with others, of which Postgres ends one.
	SerializeKeys bool
}

// Enqueued says what became of each event, in the order in which they were given.
type Enqueued struct {
	Events []EnqueuedEvent
}

// EnqueuedEvent is the row of an event.
type EnqueuedEvent struct {
	// ID of the row. Of a duplicate it is that of the row which was there first.
	ID uuid.UUID
	// CreatedAt of the row; with ID it refers to the row.
	CreatedAt time.Time
	// Seq of the row: the order within its key. It is 0 of a row that was
	// final when its table was adopted.
	Seq int64
	// Duplicate says that the event was not written, because its idempotency
	// key was taken, by a row or by an earlier event of the call.
	Duplicate bool
}

// ErrEventExists says that the table has an event of this id. The transaction
// is lost, as after any error of the database.
var ErrEventExists = errors.New("an event with this id exists")

// Enqueue writes events in the transaction: they are delivered if it commits,
// and were never there if it does not. Those of one topic and key are delivered
// in the order given here. It sends one statement for each 64 MB.
//
// An idempotency key that is taken is reported in the result, not as an error;
// while another transaction is writing it, Enqueue waits for that one to end.
// Mistakes in events come all at once as *omnibox.ValidationError, before
// anything is sent. An id that exists is ErrEventExists, a table that is missing
// ErrNoTable.
func (o Outbox) Enqueue(ctx context.Context, tx pgx.Tx, events ...omnibox.Event) (Enqueued, error) {
	return o.enqueue(ctx, pgxTx{tx}, events)
}

// EnqueueSQL is Enqueue for database/sql, with any driver for Postgres.
func (o Outbox) EnqueueSQL(ctx context.Context, tx *sql.Tx, events ...omnibox.Event) (Enqueued, error) {
	return o.enqueue(ctx, sqlTx{tx}, events)
}

func (o Outbox) enqueue(ctx context.Context, tx queryer, events []omnibox.Event) (Enqueued, error) {
	if o.Table == "" {
		o.Table = "outbox_events"
	}
	e := enqueuer{tx: tx, quoted: QuoteTable(o.Table), table: o.Table}
	var err error
	if e.events, err = omnibox.Prepare(events...); err != nil {
		return Enqueued{}, fmt.Errorf("enqueue into %s: %w", o.Table, err)
	}
	e.done = make([]EnqueuedEvent, len(events))
	if o.SerializeKeys && len(events) > 0 {
		if err := e.serialize(ctx); err != nil {
			return Enqueued{}, err
		}
	}
	for next := 0; next < len(events); {
		b := newBatch(len(events) - next)
		for next < len(events) && b.fits(&e.events[next]) {
			b.add(next, &e.events[next])
			next++
		}
		if err := e.write(ctx, b); err != nil {
			return Enqueued{}, err
		}
	}
	return Enqueued{Events: e.done}, nil
}

// enqueuer is one call of Enqueue.
type enqueuer struct {
	tx     queryer
	table  string
	quoted string
	events []omnibox.Event // as they are written
	done   []EnqueuedEvent
}

// maxRounds is how often a key may turn out to be taken by a row that is gone
// when it is looked for.
const maxRounds = 10

// write inserts a batch and finds the rows that its duplicates meet.
func (e *enqueuer) write(ctx context.Context, b *batch) error {
	for range maxRounds {
		if err := e.insert(ctx, b); err != nil {
			return err
		}
		taken := e.missing(b)
		if len(taken) == 0 {
			return nil
		}
		gone, err := e.findTaken(ctx, taken)
		if err != nil || len(gone) == 0 {
			return err
		}
		// Their rows were deleted after the insert had met them.
		b = newBatch(len(gone))
		for _, i := range gone {
			b.add(i, &e.events[i])
		}
	}
	return fmt.Errorf("enqueue into %s: the rows of idempotency keys come and go", e.table)
}

func (e *enqueuer) insert(ctx context.Context, b *batch) error {
	index := make(map[uuid.UUID]int, len(b.events))
	for _, i := range b.events {
		index[e.events[i].ID] = i
	}
	return e.query(ctx, "enqueue", b.args(), func(row scanner) error {
		var id string
		var w EnqueuedEvent
		if err := row.Scan(&id, &w.Seq, &w.CreatedAt); err != nil {
			return err
		}
		var err error
		if w.ID, err = uuid.Parse(id); err != nil {
			return err
		}
		e.done[index[w.ID]] = w
		return nil
	})
}

// missing are the events of a batch that were not inserted.
func (e *enqueuer) missing(b *batch) []int {
	var missing []int
	for _, i := range b.events {
		if e.done[i].ID == uuid.Nil {
			missing = append(missing, i)
		}
	}
	return missing
}

// findTaken looks the duplicates up, by a statement of its own: its snapshot
// sees what the insert has waited for. It returns those that have no row.
func (e *enqueuer) findTaken(ctx context.Context, duplicates []int) (gone []int, err error) {
	var keys textArray
	for _, i := range duplicates {
		keys.add(e.events[i].IdempotencyKey)
	}
	rows := make(map[string]EnqueuedEvent, len(duplicates))
	err = e.query(ctx, "enqueue_taken", named{"idempotency_keys": keys.String()}, func(row scanner) error {
		var key, id string
		w := EnqueuedEvent{Duplicate: true}
		if err := row.Scan(&key, &id, &w.Seq, &w.CreatedAt); err != nil {
			return err
		}
		var err error
		w.ID, err = uuid.Parse(id)
		rows[key] = w
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, i := range duplicates {
		w, ok := rows[e.events[i].IdempotencyKey]
		if !ok {
			gone = append(gone, i)
			continue
		}
		e.done[i] = w
	}
	return gone, nil
}

func (e *enqueuer) serialize(ctx context.Context) error {
	var topics, keys textArray
	for i := range e.events {
		topics.add(e.events[i].Topic)
		keys.add(e.events[i].Key)
	}
	args := named{"table": e.quoted, "topics": topics.String(), "keys": keys.String()}
	return e.query(ctx, "enqueue_serialize", args, func(scanner) error { return nil })
}

// query runs a statement of sql/ and hands its rows to scan.
func (e *enqueuer) query(ctx context.Context, name string, args named, scan func(scanner) error) error {
	text, err := files.ReadFile("sql/" + name + ".sql")
	if err != nil {
		return err
	}
	statement, positional, err := args.RewriteQuery(ctx, nil, strings.ReplaceAll(string(text), "{{table}}", e.quoted), nil)
	if err != nil {
		return err
	}
	if err := e.tx.query(ctx, statement, positional, scan); err != nil {
		return fmt.Errorf("enqueue into %s: %w", e.table, explain(err))
	}
	return nil
}

// explain adds what a refusal means. Drivers agree on SQLState.
func explain(err error) error {
	e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	if !ok {
		return err
	}
	switch e.SQLState() {
	case "23505":
		return fmt.Errorf("%w: %w", ErrEventExists, err)
	case "42P01":
		return fmt.Errorf("%w: run `omnibox migrate up`: %w", ErrNoTable, err)
	case "42703", "42P10":
		return fmt.Errorf("the table is not omnibox's yet: run `omnibox migrate up`: %w", err)
	default:
		return err
	}
}
