package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"
)

// queryer is a transaction of either library.
type queryer interface {
	query(ctx context.Context, statement string, args []any, scan func(scanner) error) error
}

// scanner is a row of either library.
type scanner interface {
	Scan(dest ...any) error
}

type pgxTx struct{ tx pgx.Tx }

func (t pgxTx) query(ctx context.Context, statement string, args []any, scan func(scanner) error) error {
	rows, err := t.tx.Query(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

type sqlTx struct{ tx *sql.Tx }

func (t sqlTx) query(ctx context.Context, statement string, args []any, scan func(scanner) error) (err error) {
	rows, err := t.tx.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
