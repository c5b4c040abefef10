package store

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// hint says what to do where the database's user lacks a right. What it lacks, the
// database has said.
func hint(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "42501" {
		return fmt.Errorf("%w; run what `omnibox migrate grants` prints for the user of the database's url", err)
	}
	return err
}
