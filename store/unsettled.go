package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// Unsettled tells which messages of the group, by their ids, still wait for
// something: those that are pending, and the failed ones whose dead letter is
// open. All others that were landed are final: completed, deleted or given up. It
// takes no lock, and reads a row a message by its index.
func (s *Store) Unsettled(ctx context.Context, messageIDs []string) (map[string]omnibox.Status, error) {
	if !s.isInbox() {
		return nil, s.wrap("look for unsettled messages", errOutbox)
	}
	statement := "unsettled"
	if s.partitioned {
		statement = "unsettled_keyed"
	}
	unsettled := map[string]omnibox.Status{}
	err := s.query(ctx, s.db, statement, named{"table": s.table, "group": s.cfg.Group, "message_ids": messageIDs}, func(rows pgx.Rows) error {
		var id, status string
		_, err := pgx.ForEachRow(rows, []any{&id, &status}, func() error {
			unsettled[id] = omnibox.Status(status)
			return nil
		})
		return err
	})
	return unsettled, s.wrap("look for unsettled messages", err)
}

// Full tells whether at least most events of the table are pending, so that who
// fills it can ask often: it counts no more than most, by index entries alone where
// vacuum keeps up, and nothing while the table is far from full. It takes no lock.
func (s *Store) Full(ctx context.Context, most int) (full bool, err error) {
	err = s.query(ctx, s.db, "is_full", named{"most": most}, func(rows pgx.Rows) (err error) {
		full, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
		return err
	})
	return full, s.wrap("look how many events are pending", err)
}
