package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// WaitingFilter picks pending events; what is empty matches all.
type WaitingFilter struct {
	Topic, Key, Type string
}

// Waiting is a pending event.
type Waiting struct {
	ID           uuid.UUID
	CreatedAt    time.Time
	Topic        string
	PartitionKey string
	EventType    string
	AttemptsMade int
	MaxAttempts  int
	ScheduledAt  time.Time
	Seq          int64
	LastError    string
	ErrorClass   omnibox.Class
	// State says in words what it waits for.
	State    string
	LockedBy string
}

// Waiting lists pending events, at most so many, those that come next first. It
// takes no lock, and reads a few entries of each slot, whatever the backlog.
func (s *Store) Waiting(ctx context.Context, f WaitingFilter, most int) ([]Waiting, error) {
	var all []Waiting
	args := s.ours(named{"topic": f.Topic, "key": f.Key, "type": f.Type, "most": most, "ordered": s.ordered()})
	err := s.query(ctx, s.db, "waiting", args, collectInto(&all, pgx.RowToStructByName[Waiting]))
	return all, s.wrap("list waiting events", err)
}

// EventOf gives the event that a message of the inbox's group is in the table. It
// returns false if the message has not been landed.
func (s *Store) EventOf(ctx context.Context, messageID string) (uuid.UUID, bool, error) {
	if !s.isInbox() {
		return uuid.Nil, false, s.wrap("look for a message", errOutbox)
	}
	var ids [][16]byte
	args := s.ours(named{"table": s.table, "message_id": messageID, "keyed": s.partitioned})
	err := s.query(ctx, s.db, "event_of", args, collectInto(&ids, pgx.RowTo[[16]byte]))
	if err != nil || len(ids) == 0 {
		return uuid.Nil, false, s.wrap("look for a message", err)
	}
	return ids[0], true, nil
}
