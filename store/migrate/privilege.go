package migrate

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// schemaHint names the grant without which the schema cannot be created.
func schemaHint(ctx context.Context, s *session, cause error) error {
	var database, user string
	if err := s.QueryRow(ctx, "select current_database(), current_user").Scan(&database, &user); err != nil {
		return fmt.Errorf("create the schema omnibox: %w", cause)
	}
	db, role := pgx.Identifier{database}.Sanitize(), pgx.Identifier{user}.Sanitize()
	return fmt.Errorf("create the schema omnibox: %w; let its owner run `grant create on database %s to %s` or `create schema omnibox authorization %s`",
		cause, db, role, role)
}

// hint says what a refused migration lacks.
func hint(err error, target string) error {
	if !hasState(err, "42501") {
		return err
	}
	if target == core {
		return fmt.Errorf("%w; the migrating user must own the schema omnibox", err)
	}
	return fmt.Errorf("%w; the migrating user must own %s, and be able to create in its schema and in the schema omnibox", err, target)
}
