package inbox

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// handlerRows are rows that are read through a gate.
type handlerRows struct {
	pgx.Rows
	*gate
	refused error
}

func (r *handlerRows) Next() bool {
	if r.refused = r.enter(); r.refused != nil {
		return false
	}
	defer r.leave()
	return r.Rows.Next()
}

func (r *handlerRows) Scan(dest ...any) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	return r.Rows.Scan(dest...)
}

func (r *handlerRows) Err() error {
	if r.refused != nil {
		return r.refused
	}
	return r.Rows.Err()
}

func (r *handlerRows) Close() {
	if r.refused = r.enter(); r.refused != nil {
		return
	}
	defer r.leave()
	r.Rows.Close()
}

// handlerRow is a row that is read through a gate.
type handlerRow struct {
	pgx.Row
	*gate
}

func (r *handlerRow) Scan(dest ...any) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	return r.Row.Scan(dest...)
}

// handlerBatch are results that are read through a gate.
type handlerBatch struct {
	pgx.BatchResults
	*gate
}

func (b *handlerBatch) Exec() (pgconn.CommandTag, error) {
	if err := b.enter(); err != nil {
		return pgconn.CommandTag{}, err
	}
	defer b.leave()
	return b.BatchResults.Exec()
}

func (b *handlerBatch) Query() (pgx.Rows, error) {
	if err := b.enter(); err != nil {
		return failedRows{err: err}, err
	}
	defer b.leave()
	rows, err := b.BatchResults.Query()
	return &handlerRows{rows, b.gate, nil}, err
}

func (b *handlerBatch) QueryRow() pgx.Row {
	if err := b.enter(); err != nil {
		return failedRows{err: err}
	}
	defer b.leave()
	return &handlerRow{b.BatchResults.QueryRow(), b.gate}
}

func (b *handlerBatch) Close() error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	return b.BatchResults.Close()
}

// failedRows are the rows, or the row, of a query that was not made.
type failedRows struct {
	pgx.Rows
	err error
}

func (r failedRows) Next() bool        { return false }
func (r failedRows) Scan(...any) error { return r.err }
func (r failedRows) Err() error        { return r.err }
func (r failedRows) Close()            {}

// failedBatch are the results of a batch that was not sent.
type failedBatch struct{ err error }

func (b failedBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, b.err }
func (b failedBatch) Query() (pgx.Rows, error)         { return failedRows{err: b.err}, b.err }
func (b failedBatch) QueryRow() pgx.Row                { return failedRows{err: b.err} }
func (b failedBatch) Close() error                     { return b.err }
func (b failedBatch) Tx() pgx.Tx                       { return nil }
