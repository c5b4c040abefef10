package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/omnibox-go/omnibox"
)

// wrap says what was being done to which table, and marks an outage of the
// database as one. A nil error stays nil.
func (s *Store) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s of %s: %w", doing, s.table, hint(discreet(err)))
	if isOutage(err) {
		return omnibox.Unreachable(err)
	}
	return err
}

// isOutage tells whether err says that the database is down or refuses
// everybody, or that another transaction was in the way: not what this statement
// is, and worth trying again.
func isOutage(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code[:min(2, len(e.Code))] {
		case "08", // connection
			"28", // authorization
			"53": // out of connections, memory or disk
			return true
		}
		switch e.Code {
		case "40001", "40P01", "55P03", // conflict, deadlock, lock timeout
			"57P01", "57P02", "57P03", // shutting down, crashed, starting up
			"25006": // read-only: the primary has become a standby
			return true
		}
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return pgconn.SafeToRetry(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed)
}

// isBadRow tells whether the server refused a statement for what is in a row: a
// constraint, a value, or a trigger of the user's.
func isBadRow(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || isOutage(err) {
		return false
	}
	for _, class := range []string{"22", "23", "44", "54", "P0"} {
		if strings.HasPrefix(e.Code, class) {
			return true
		}
	}
	const raise = "exec_stmt_raise" // of PL/pgSQL, under any code
	return e.Routine == raise
}

// discreet leaves out of an error about a row what the server says in words: it
// may quote the row, and errors get into logs and histories.
func discreet(err error) error {
	if !isBadRow(err) {
		return err
	}
	e, _ := errors.AsType[*pgconn.PgError](err)
	by := "a trigger, or for one of its values"
	if e.ConstraintName != "" {
		by = fmt.Sprintf("constraint %s of table %s", e.ConstraintName, e.TableName)
	}
	return &pgconn.PgError{
		Severity: e.Severity, SeverityUnlocalized: e.SeverityUnlocalized, Code: e.Code, Message: "row refused by " + by,
		SchemaName: e.SchemaName, TableName: e.TableName, ColumnName: e.ColumnName, ConstraintName: e.ConstraintName,
		File: e.File, Line: e.Line, Routine: e.Routine,
	}
}
