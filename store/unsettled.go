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

// PendingAtMost counts the pending events of the table, no further than most: so
// that who fills it can tell in bounded time whether it is full. It reads index
// entries alone where vacuum keeps up, and takes no lock.
func (s *Store) PendingAtMost(ctx context.Context, most int) (int, error) {
	var n int
	err := s.query(ctx, s.db, "pending_at_most", named{"most": most}, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
		return err
	})
	return n, s.wrap("count pending events", err)
}
