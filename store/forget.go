package store

import (
	"context"
	"time"
)

// ForgetKeys forgets the ids of messages that were landed longer ago than window,
// where that takes keys of their own; see RemembersByKeys. A message that comes again
// after that is taken for a new one. Those that are still pending are kept. It works
// in chunks, and returns how many it has forgotten; several may call it at once.
func (s *Store) ForgetKeys(ctx context.Context, window time.Duration) (forgotten int, err error) {
	if !s.isInbox() {
		return 0, s.wrap("forget messages", errOutbox)
	}
	args := s.ours(named{"table": s.table, "window": window.Microseconds(), "most": freeChunk})
	for {
		tag, err := s.db.Exec(ctx, s.sql["forget_keys"], args)
		if err != nil {
			return forgotten, s.wrap("forget messages", err)
		}
		forgotten += int(tag.RowsAffected())
		if tag.RowsAffected() < freeChunk {
			return forgotten, nil
		}
	}
}

// RemembersByKeys tells whether the messages that were landed are remembered by keys
// of their own, which can be forgotten while, or after, their rows are there: in a
// partitioned table, and with OnComplete "delete". In all others a message is known
// for as long as its row is.
func (s *Store) RemembersByKeys(ctx context.Context) (bool, error) {
	if !s.isInbox() {
		return false, nil
	}
	keyed, err := s.byKeys(ctx)
	return keyed, s.wrap("look for keys of messages", err)
}
