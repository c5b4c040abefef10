package inbox

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	errNotToEnd = errors.New("the transaction is that which completes the message: return an error to roll it back, nil to commit it")
	errGivenUp  = errors.New("the handler has been given up, and its transaction was rolled back")
)

// handlerTx is the transaction that completes a message as its handler gets it.
// It cannot be ended by the handler, and not be used once that was given up.
type handlerTx struct {
	pgx.Tx
	over atomic.Bool
}

// revoke takes the transaction from a handler that does not return. A statement
// that it waits for is cancelled, since the server would go on with it, and keep
// its locks, though the connection is closed:
//
//  1. the handler sleeps, in Go or in the database, and its rows are locked
//  2. the connection is closed under it; the server ends the transaction, and frees
//     the rows
//  3. the caller rolls back, which fails, and gives the connection to the pool,
//     which throws it away
//  4. the handler wakes, and what it sends reaches nobody
func (t *handlerTx) revoke(ctx context.Context) {
	const most = time.Second
	t.over.Store(true)
	conn := t.Tx.Conn().PgConn()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancel()
	_ = conn.CancelRequest(ctx) // the server may be gone
	_ = conn.Conn().Close()     // may be closed already, by the end of the handler's context
}

func (t *handlerTx) Commit(context.Context) error { return errNotToEnd }

func (t *handlerTx) Rollback(context.Context) error { return errNotToEnd }

func (t *handlerTx) Begin(ctx context.Context) (pgx.Tx, error) {
	if t.over.Load() {
		return nil, errGivenUp
	}
	return t.Tx.Begin(ctx)
}

func (t *handlerTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if t.over.Load() {
		return 0, errGivenUp
	}
	return t.Tx.CopyFrom(ctx, table, columns, rows)
}

func (t *handlerTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if t.over.Load() {
		return givenUp{}
	}
	return t.Tx.SendBatch(ctx, b)
}

func (t *handlerTx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if t.over.Load() {
		return nil, errGivenUp
	}
	return t.Tx.Prepare(ctx, name, sql)
}

func (t *handlerTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if t.over.Load() {
		return pgconn.CommandTag{}, errGivenUp
	}
	return t.Tx.Exec(ctx, sql, args...)
}

func (t *handlerTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if t.over.Load() {
		return nil, errGivenUp
	}
	return t.Tx.Query(ctx, sql, args...)
}

func (t *handlerTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if t.over.Load() {
		return givenUp{}
	}
	return t.Tx.QueryRow(ctx, sql, args...)
}

// givenUp is every result of a transaction that was taken away.
type givenUp struct{}

func (givenUp) Tx() pgx.Tx                       { return nil }
func (givenUp) QueryRow() pgx.Row                { return givenUp{} }
func (givenUp) Scan(...any) error                { return errGivenUp }
func (givenUp) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, errGivenUp }
func (givenUp) Query() (pgx.Rows, error)         { return nil, errGivenUp }
func (givenUp) Close() error                     { return errGivenUp }
