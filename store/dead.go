package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// DeadState is what became of a dead letter.
type DeadState string

// The states of a dead letter.
const (
	DeadOpen      DeadState = "open"
	DeadReplayed  DeadState = "replayed"
	DeadDiscarded DeadState = "discarded"
)

// ErrNoDeadLetter says that no dead letter and no row has the id.
var ErrNoDeadLetter = errors.New("no such dead letter")

// DeadLetter says how an event was given up.
type DeadLetter struct {
	ID             int64
	Pipeline       string
	TableName      string
	EventID        uuid.UUID
	EventCreatedAt time.Time
	Topic          string
	PartitionKey   string
	EventType      string
	// Error is the last failure, without any part of the payload.
	Error      string
	ErrorClass omnibox.Class
	// Fingerprint is equal for failures of the same kind.
	Fingerprint string
	// Attempts is the true number of failures.
	Attempts int
	// FirstAt is when the event was written, LastAt when it died.
	FirstAt time.Time
	LastAt  time.Time
	State   DeadState
	// ResolvedAt and ResolvedBy tell of its replay or discard.
	ResolvedAt *time.Time
	ResolvedBy string
	Note       string
	// ParkedUntil is until when the event's workflow waits for a person; nil if
	// it has none that waits.
	ParkedUntil *time.Time
}

// DeadFilter chooses dead letters of the table; empty fields match everything.
type DeadFilter struct {
	Pipeline    string
	Topic       string
	Key         string
	Type        string
	Class       omnibox.Class
	Fingerprint string
	// Since and Until bound when the event died; Until itself is left out.
	Since, Until time.Time
	// State of the letter. Replay and Discard take open ones whatever it says.
	State DeadState
}

// args are the parameters that every statement over a filter has.
func (f DeadFilter) args(table string) named {
	return named{
		"table": table, "pipeline": f.Pipeline, "topic": f.Topic, "key": f.Key, "type": f.Type,
		"class": string(f.Class), "fingerprint": f.Fingerprint,
		"since": orInfinity(f.Since, -1), "until": orInfinity(f.Until, 1),
	}
}

// orInfinity is t, or the end of time on the given side if t is zero.
func orInfinity(t time.Time, side int) any {
	if !t.IsZero() {
		return t
	}
	if side < 0 {
		return "-infinity"
	}
	return "infinity"
}

// DeadCursor is a place in a list of dead letters. The zero value is its start.
type DeadCursor struct {
	LastAt time.Time
	ID     int64
}

// ListDeadParams choose a page.
type ListDeadParams struct {
	Filter DeadFilter
	// After is the Next of the page before.
	After DeadCursor
	// Limit is the most that are returned. Defaults to 100.
	Limit int
}

// ListDeadResult is a page of dead letters.
type ListDeadResult struct {
	Letters []DeadLetter
	// Next is where the next page begins; nil behind the last one.
	Next *DeadCursor
}

// ListDead returns a page of dead letters, the latest first. It takes no lock.
func (s *Store) ListDead(ctx context.Context, p ListDeadParams) (ListDeadResult, error) {
	if p.Limit <= 0 {
		p.Limit = 100
	}
	args := p.Filter.args(s.table)
	args["state"] = string(p.Filter.State)
	args["after_at"], args["after_id"] = orInfinity(p.After.LastAt, 1), p.After.ID
	args["limit"] = p.Limit + 1
	rows, _ := s.db.Query(ctx, s.sql["dead_list"], args)
	letters, err := pgx.CollectRows(rows, pgx.RowToStructByName[DeadLetter])
	if err != nil {
		return ListDeadResult{}, fmt.Errorf("list dead letters of %s: %w", s.table, hint(err))
	}
	if len(letters) <= p.Limit {
		return ListDeadResult{Letters: letters}, nil
	}
	last := letters[p.Limit-1]
	return ListDeadResult{Letters: letters[:p.Limit], Next: &DeadCursor{LastAt: last.LastAt, ID: last.ID}}, nil
}

// DeadGroup is dead letters of one kind of failure.
type DeadGroup struct {
	Fingerprint string
	ErrorClass  omnibox.Class
	Letters     int
	// Keys is how many topics and keys have one.
	Keys    int
	FirstAt time.Time
	LastAt  time.Time
	// Error is the latest one of the group.
	Error string
	// Types are up to three of the event types.
	Types []string
}

// SummarizeDead groups dead letters by fingerprint and class, the largest of at
// most limit groups first. It takes no lock.
func (s *Store) SummarizeDead(ctx context.Context, f DeadFilter, limit int) ([]DeadGroup, error) {
	args := f.args(s.table)
	args["state"], args["limit"] = string(f.State), limit
	rows, _ := s.db.Query(ctx, s.sql["dead_groups"], args)
	groups, err := pgx.CollectRows(rows, pgx.RowToStructByName[DeadGroup])
	if err != nil {
		return nil, fmt.Errorf("summarize dead letters of %s: %w", s.table, hint(err))
	}
	return groups, nil
}

// DeadID is how a person refers to a dead event: by the event's id or by the
// number of its dead letter.
type DeadID struct {
	Event  uuid.UUID
	Letter int64
}

func (id DeadID) String() string {
	if id.Letter != 0 {
		return fmt.Sprint(id.Letter)
	}
	return id.Event.String()
}

// Row is an event's row as a person wants to see it.
type Row struct {
	ID            uuid.UUID
	CreatedAt     time.Time
	Topic         string
	PartitionKey  string
	EventType     string
	AggregateType string
	AggregateID   uuid.UUID
	Status        omnibox.Status
	AttemptsMade  int
	MaxAttempts   int
	Replays       int
	Seq           int64
	Held          bool
	ScheduledAt   time.Time
	CompletedAt   *time.Time
	LastError     string
	ErrorClass    omnibox.Class
	LockedBy      string
	// LeaseUntil is nil unless the row is leased now.
	LeaseUntil     *time.Time
	TraceID        string
	CorrelationID  string
	CausationID    string
	IdempotencyKey string
	SchemaVersion  string
	Headers        map[string]string
	ContentType    string
	// PayloadBytes is the payload's size, also when it is not shown.
	PayloadBytes int
	// Payload or Body is there only when asked for.
	Payload *json.RawMessage
	Body    []byte
	// What follows is that of a message of an inbox; zero in an outbox.

	// MessageID and ConsumerGroup are what deduplicates.
	MessageID     string
	Source        string
	ConsumerGroup string
	// Partition and Offset are nil of a message that another program has landed.
	Partition *int
	Offset    *int64
	// RawHeaders are there of a message that could not be read.
	RawHeaders *json.RawMessage
}

// ShowDeadParams say which event to show.
type ShowDeadParams struct {
	ID DeadID
	// Payload asks for the payload too.
	Payload bool
}

// ShowDeadResult is all that is known of a dead event.
type ShowDeadResult struct {
	// Letters of the event, the latest first: one for each time it died.
	Letters []DeadLetter
	// Row is nil if it is gone.
	Row *Row
}

// ShowDead returns the dead letters of an event and its row. The error is
// ErrNoDeadLetter if there is neither. It takes no lock.
func (s *Store) ShowDead(ctx context.Context, p ShowDeadParams) (ShowDeadResult, error) {
	var out ShowDeadResult
	rows, _ := s.db.Query(ctx, s.sql["dead_letters_of"], named{
		"table": s.table, "event": p.ID.Event, "letter": p.ID.Letter,
	})
	letters, err := pgx.CollectRows(rows, pgx.RowToStructByName[DeadLetter])
	if err != nil {
		return out, fmt.Errorf("show dead letter %s: %w", p.ID, hint(err))
	}
	event := p.ID.Event
	if len(letters) > 0 {
		event = letters[0].EventID
	}
	rows, _ = s.db.Query(ctx, s.sql["dead_row"], named{"event": event, "payload": p.Payload})
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByNameLax[Row])
	switch {
	case errors.Is(err, pgx.ErrNoRows) && len(letters) == 0:
		return out, fmt.Errorf("show %s: %w", p.ID, ErrNoDeadLetter)
	case errors.Is(err, pgx.ErrNoRows):
		return ShowDeadResult{Letters: letters}, nil
	case err != nil:
		return out, fmt.Errorf("show dead letter %s: %w", p.ID, hint(err))
	}
	return ShowDeadResult{Letters: letters, Row: &row}, nil
}
