package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// Landed says what became of messages.
type Landed struct {
	// New messages are pending now.
	New int
	// Duplicates were landed before, or came twice.
	Duplicates int
	// Unreadable messages are kept as they came, each with a dead letter.
	Unreadable int
}

func (l *Landed) add(other Landed) {
	l.New += other.New
	l.Duplicates += other.Duplicates
	l.Unreadable += other.Unreadable
}

// errOutbox says that an operation is for an inbox.
var errOutbox = errors.New("the table is an outbox: open it with the Group whose messages are meant")

// Land writes messages, with their Origin, to the inbox, each once for the group:
// one that was landed before is a duplicate, whatever became of it. Those of a
// partition have their place in the order of their offsets, in whatever order they
// are given. One whose Origin says that it is Unreadable is dead at once.
//
// All are durable when it returns without an error; then their offsets may be
// committed. It sends one statement for each 64 MB. It waits for another
// transaction that lands one of the messages. After an error some may have been
// landed, of each partition the first: it may be called again with the same
// messages.
//
// A message that the database refuses, such as one with a value too long for its
// column, stops no other: it is landed as unreadable, with the reason in words
// that quote nothing of it. When that is refused too, the error says so, and of
// its partition nothing behind it is landed.
func (s *Store) Land(ctx context.Context, events []*omnibox.Event) (Landed, error) {
	var landed Landed
	if !s.isInbox() {
		return landed, s.wrap("land messages", errOutbox)
	}
	events, err := whole(events)
	if err != nil {
		return landed, s.wrap("land messages", err)
	}
	byKeys, err := s.byKeys(ctx)
	if err != nil {
		return landed, s.wrap("land messages", err)
	}
	statement := "land"
	if byKeys {
		statement = "land_keyed"
	}
	for b := range batches(inOrder(events)) {
		n, err := s.landSome(ctx, statement, b)
		landed.add(n)
		if err != nil {
			return landed, err
		}
	}
	return landed, nil
}

// whole gives every message what its row must have: an id, which is its place in
// the broker if it has none, a source, a key and a type.
func whole(events []*omnibox.Event) ([]*omnibox.Event, error) {
	out := events
	for i, e := range events {
		if e.Origin == nil {
			return nil, fmt.Errorf("message %d of %d has no Origin: set where it came from", i+1, len(events))
		}
		if e.Origin.MessageID != "" && e.Origin.Source != "" && e.Key != "" && e.Type != "" {
			continue
		}
		if &out[0] == &events[0] {
			out = slices.Clone(events)
		}
		filled, origin := *e, *e.Origin
		origin.MessageID = cmp.Or(origin.MessageID, standing(e))
		origin.Source = cmp.Or(origin.Source, e.Topic)
		filled.Key, filled.Type = cmp.Or(e.Key, origin.MessageID), cmp.Or(e.Type, "unknown")
		filled.Origin = &origin
		out[i] = &filled
	}
	return out, nil
}

// inOrder sorts messages by what all who land agree on.
func inOrder(events []*omnibox.Event) []*omnibox.Event {
	byOffset := func(a, b *omnibox.Event) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Origin.Partition, b.Origin.Partition),
			cmp.Compare(a.Origin.Offset, b.Origin.Offset))
	}
	if slices.IsSortedFunc(events, byOffset) {
		return events
	}
	return slices.SortedStableFunc(slices.Values(events), byOffset)
}

// landSome lands messages with one statement. When the server refuses one of them,
// it finds out which by halves. What comes first is landed first, so that an error
// leaves no gap.
func (s *Store) landSome(ctx context.Context, statement string, events []*omnibox.Event) (Landed, error) {
	landed, err := s.insert(ctx, statement, events)
	switch {
	case !isBadRow(err):
		return landed, s.wrap("land messages", err)
	case len(events) == 1:
		return s.landRefused(ctx, statement, events[0], err)
	}
	half := len(events) / 2
	if landed, err = s.landSome(ctx, statement, events[:half]); err != nil {
		return landed, err
	}
	rest, err := s.landSome(ctx, statement, events[half:])
	landed.add(rest)
	return landed, err
}

// landRefused lands a message that the database has refused as unreadable.
func (s *Store) landRefused(ctx context.Context, statement string, e *omnibox.Event, refusal error) (Landed, error) {
	landed, err := s.insert(ctx, statement, []*omnibox.Event{unreadable(e, "the database refuses it: "+discreet(refusal).Error())})
	return landed, s.wrap("land message "+standing(e), err)
}

// standing is where a message stands in the broker.
func standing(e *omnibox.Event) string {
	return fmt.Sprintf("%s:%d:%d", clip(e.Topic, omnibox.MaxTopic), e.Origin.Partition, e.Origin.Offset)
}

func (s *Store) insert(ctx context.Context, statement string, events []*omnibox.Event) (Landed, error) {
	args := landing(events)
	args["table"], args["quoted"], args["pipeline"], args["group"] = s.table, QuoteTable(s.table), s.cfg.Pipeline, s.cfg.Group
	var rows, dead int
	read := func(rs pgx.Rows) error {
		_, err := pgx.ForEachRow(rs, []any{&rows, &dead}, func() error { return nil })
		return err
	}
	settings := byIndex
	if statement == "land_keyed" || slices.ContainsFunc(events, isUnreadable) {
		settings = byNumber // it joins
	}
	err := s.queryUnder(ctx, s.db, settings, statement, args, read)
	if err != nil {
		return Landed{}, err
	}
	return Landed{New: rows - dead, Unreadable: dead, Duplicates: len(events) - rows}, nil
}

func isUnreadable(e *omnibox.Event) bool { return e.Origin.Unreadable != "" }

// byNumber makes the planner see how many messages there are, which takes it as
// long as a hundred of them: the plan that it keeps for all cases is for a handful.
const byNumber = "select set_config('plan_cache_mode', 'force_custom_plan', true)"

// byKeys tells whether omnibox.inbox_keys knows the messages that were landed
// before: where the table is partitioned, where rows are deleted once they are
// handled, or have been until now.
func (s *Store) byKeys(ctx context.Context) (bool, error) {
	if known := s.keyed.Load(); known != nil {
		return *known, nil
	}
	keyed := s.partitioned || s.cfg.OnComplete == "delete"
	if !keyed {
		err := s.db.QueryRow(ctx, s.sql["has_keys"], named{"table": s.table, "group": s.cfg.Group}).Scan(&keyed)
		if err != nil {
			return false, err
		}
	}
	s.keyed.Store(&keyed)
	return keyed, nil
}

// newID is an id for the row of a message that has none.
func newID(e *omnibox.Event) uuid.UUID {
	if e.ID == uuid.Nil {
		return uuid.New()
	}
	return e.ID
}
