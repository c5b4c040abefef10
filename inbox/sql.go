package inbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/omnibox-go/omnibox"
)

// Statement is a handler without code: a statement of SQL, such as
// "select billing.apply($1)".
type Statement struct{ sql string }

// SQL gives the handler that runs a statement in the transaction which completes
// the message, for each message of whatever source and type. Its one parameter,
// $1, is the message as JSON, for a jsonb, json or text:
//
//	{"id", "message_id", "source", "topic", "partition", "offset", "key", "type",
//	 "schema_version", "content_type", "headers", "trace_id", "correlation_id",
//	 "causation_id", "occurred_at", "created_at", "attempt", "payload"}
//
// What a message lacks is null, and headers then are {}. Content that is not JSON
// is "body", in base64, and payload is null. What the statement returns is ignored:
// a function that wants to skip a message does nothing. What it raises fails the
// message, as its class of SQLSTATE says; see Config.Classes.
func SQL(statement string) *Statement { return &Statement{statement} }

// Find gives the call that runs the statement. The error is permanent if the
// message is unreadable, or what claims to be JSON is not.
func (s *Statement) Find(stored *Stored) (Call, error) {
	if stored.Unreadable != "" {
		return Call{}, omnibox.Permanent(fmt.Errorf("unreadable, and SQL takes events alone: %s", stored.Unreadable))
	}
	event, err := eventJSON(stored)
	if err != nil {
		return Call{}, omnibox.Permanent(err)
	}
	run := func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, s.sql, event)
		return err
	}
	return Call{InTx: true, bound: bound{run: run}, statement: true}, nil
}

// Beginner begins transactions: a pool, a connection, or a transaction.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Check asks the database whether it could run the statement: whether everything
// that it names is there and allowed, and $1 is its one parameter. It runs nothing.
// What a function does inside shows only when it runs.
func (s *Statement) Check(ctx context.Context, db Beginner) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("check the SQL of a handler: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := s.check(ctx, tx); err != nil {
		return fmt.Errorf("the SQL of a handler, %q: %w", s.sql, err)
	}
	return nil
}

func (s *Statement) check(ctx context.Context, tx pgx.Tx) error {
	known, err := tx.Prepare(ctx, "", s.sql)
	if err != nil {
		return refusal(err)
	}
	switch n := len(known.ParamOIDs); {
	case n == 0:
		return errors.New("it has no parameter: the message is $1")
	case n > 1:
		return fmt.Errorf("it has %d parameters, but there is only $1, the message", n)
	}
	takes := []uint32{pgtype.JSONBOID, pgtype.JSONOID, pgtype.TextOID, pgtype.VarcharOID, pgtype.UnknownOID}
	if oid := known.ParamOIDs[0]; !slices.Contains(takes, oid) {
		name := fmt.Sprint("type ", oid)
		if t, ok := tx.Conn().TypeMap().TypeForOID(oid); ok {
			name = t.Name
		}
		return fmt.Errorf("its parameter $1 is a %s, but the message is JSON: write $1::jsonb", name)
	}
	// whether functions may be called is looked at only when a plan begins. What
	// cannot be explained, such as call, is a syntax error there.
	const syntaxError = "42601"
	_, err = tx.Exec(ctx, "explain "+s.sql, nil)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && (e.Code == syntaxError || e.Code[:2] != "42") {
		return nil
	}
	return refusal(err)
}

// refusal says what the database does not have or allow, and what to do.
func refusal(err error) error {
	const noPrivilege = "42501"
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == noPrivilege {
		return fmt.Errorf("%w: grant it to the role of the worker", tell(err))
	} else if ok && e.Hint != "" && e.Code[:2] == "42" {
		return fmt.Errorf("%w (%s)", tell(err), e.Hint)
	}
	return tell(err)
}

// sqlEvent is a message as a statement gets it.
type sqlEvent struct {
	ID            uuid.UUID         `json:"id"`
	MessageID     string            `json:"message_id"`
	Source        string            `json:"source"`
	Topic         string            `json:"topic"`
	Partition     int32             `json:"partition"`
	Offset        int64             `json:"offset"`
	Key           string            `json:"key"`
	Type          string            `json:"type"`
	SchemaVersion *string           `json:"schema_version"`
	ContentType   *string           `json:"content_type"`
	Headers       map[string]string `json:"headers"`
	TraceID       *string           `json:"trace_id"`
	CorrelationID *string           `json:"correlation_id"`
	CausationID   *string           `json:"causation_id"`
	OccurredAt    *time.Time        `json:"occurred_at"`
	CreatedAt     time.Time         `json:"created_at"`
	Attempt       int               `json:"attempt"`
	Payload       json.RawMessage   `json:"payload"`
	Body          []byte            `json:"body,omitempty"`
}

// eventJSON gives a message as text for a jsonb. Its errors do not quote it.
func eventJSON(m *Stored) (string, error) {
	if m.Payload != nil && !json.Valid(m.Payload) {
		return "", errors.New("the payload is not valid JSON")
	}
	e := sqlEvent{
		ID: m.ID, MessageID: m.MessageID, Source: m.Source, Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Key: m.Key,
		Type: m.Type, SchemaVersion: named(m.SchemaVersion), ContentType: named(m.ContentType), Headers: m.Headers,
		TraceID: named(m.TraceID), CorrelationID: named(m.CorrelationID), CausationID: named(m.CausationID),
		CreatedAt: m.CreatedAt, Attempt: m.Attempt, Payload: m.Payload, Body: m.Body,
	}
	if e.Headers == nil {
		e.Headers = map[string]string{}
	}
	if !m.OccurredAt.IsZero() {
		e.OccurredAt = &m.OccurredAt
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return "", quoteless(err)
	}
	return b.String(), nil
}

// named is a text, or null if it is empty.
func named(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
