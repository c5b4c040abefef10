package inbox

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Errors of a transaction in the hands of a handler.
var (
	errNotToEnd = errors.New("the transaction is that which completes the message: return an error to roll it back, nil to commit it")
	errGivenUp  = errors.New("the handler has been given up, and its transaction was rolled back")
	errInUse    = errors.New("the transaction is in use: one call at a time")
)

// gate lets one call at a time use the connection of a transaction, until it is
// shut. Calls that a handler leaves to others would be in each other's way, and in
// that of the rollback.
type gate struct {
	over atomic.Bool
	turn chan struct{} // holds one token while a call is under way
}

func newGate() *gate { return &gate{turn: make(chan struct{}, 1)} }

// enter begins a call, which leave ends, unless there is an error.
func (g *gate) enter() error {
	if g.over.Load() {
		return errGivenUp
	}
	select {
	case g.turn <- struct{}{}:
		return nil
	default:
		return errInUse
	}
}

func (g *gate) leave() { <-g.turn }

// shut ends the calls to the database of a handler that does not return, for ever:
//
//  1. the handler sleeps, in Go or in the database, and its rows are locked
//  2. the connection is closed under it; the server ends the transaction, and frees
//     the rows. It would go on with a statement under way, and keep its locks, so
//     pgx cancels that when it finds the connection closed
//  3. the caller rolls back, which fails, and gives the connection to the pool,
//     which throws it away
//  4. the handler wakes, and what it sends reaches nobody
func (g *gate) shut(conn *pgconn.PgConn) {
	g.over.Store(true)
	_ = conn.Conn().Close() // may be closed already, by the end of the handler's context
	wait := time.NewTimer(grace)
	defer wait.Stop()
	select {
	case g.turn <- struct{}{}: // no call is under way
	case <-wait.C: // one that waits for the handler, such as for rows to copy
	}
}

// handlerTx is the transaction that completes a message as its handler gets it. The
// handler cannot end it, but for what it has begun inside, and not use it once the
// gate is shut.
type handlerTx struct {
	pgx.Tx
	*gate
	inner bool
}

func (t *handlerTx) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := t.enter(); err != nil {
		return nil, err
	}
	defer t.leave()
	tx, err := t.Tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &handlerTx{tx, t.gate, true}, nil
}

func (t *handlerTx) Commit(ctx context.Context) error { return t.endBy(ctx, t.Tx.Commit) }

func (t *handlerTx) Rollback(ctx context.Context) error { return t.endBy(ctx, t.Tx.Rollback) }

func (t *handlerTx) endBy(ctx context.Context, end func(context.Context) error) error {
	if !t.inner {
		return errNotToEnd
	}
	if err := t.enter(); err != nil {
		return err
	}
	defer t.leave()
	return end(ctx)
}

func (t *handlerTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if err := t.enter(); err != nil {
		return 0, err
	}
	defer t.leave()
	return t.Tx.CopyFrom(ctx, table, columns, rows)
}

func (t *handlerTx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := t.enter(); err != nil {
		return nil, err
	}
	defer t.leave()
	return t.Tx.Prepare(ctx, name, sql)
}

func (t *handlerTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := t.enter(); err != nil {
		return pgconn.CommandTag{}, err
	}
	defer t.leave()
	return t.Tx.Exec(ctx, sql, args...)
}

func (t *handlerTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := t.enter(); err != nil {
		return failedRows{err: err}, err
	}
	defer t.leave()
	rows, err := t.Tx.Query(ctx, sql, args...)
	return &handlerRows{rows, t.gate, nil}, err
}

func (t *handlerTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := t.enter(); err != nil {
		return failedRows{err: err}
	}
	defer t.leave()
	return &handlerRow{t.Tx.QueryRow(ctx, sql, args...), t.gate}
}

func (t *handlerTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := t.enter(); err != nil {
		return failedBatch{err}
	}
	defer t.leave()
	return &handlerBatch{t.Tx.SendBatch(ctx, b), t.gate}
}
