package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker/config"
)

// letterView is a dead letter as JSON.
type letterView struct {
	ID          int64      `json:"id"`
	EventID     string     `json:"event_id"`
	Pipeline    string     `json:"pipeline"`
	Table       string     `json:"table"`
	Topic       string     `json:"topic"`
	Key         string     `json:"key"`
	Type        string     `json:"type"`
	Class       string     `json:"class"`
	Fingerprint string     `json:"fingerprint"`
	Error       string     `json:"error"`
	Attempts    int        `json:"attempts"`
	FirstAt     time.Time  `json:"first_at"`
	LastAt      time.Time  `json:"last_at"`
	State       string     `json:"state"`
	ResolvedAt  *time.Time `json:"resolved_at,omitempty"`
	ResolvedBy  string     `json:"resolved_by,omitempty"`
	Note        string     `json:"note,omitempty"`
}

func letter(l store.DeadLetter) letterView {
	return letterView{
		ID: l.ID, EventID: l.EventID.String(), Pipeline: l.Pipeline, Table: l.TableName, Topic: l.Topic, Key: l.PartitionKey,
		Type: l.EventType, Class: string(l.ErrorClass), Fingerprint: l.Fingerprint, Error: l.Error, Attempts: l.Attempts,
		FirstAt: l.FirstAt, LastAt: l.LastAt, State: string(l.State), ResolvedAt: l.ResolvedAt, ResolvedBy: l.ResolvedBy, Note: l.Note,
	}
}

// rowView is an event's row as JSON.
type rowView struct {
	ID             string            `json:"id"`
	CreatedAt      time.Time         `json:"created_at"`
	Topic          string            `json:"topic"`
	Key            string            `json:"key"`
	Type           string            `json:"type"`
	AggregateType  string            `json:"aggregate_type"`
	AggregateID    string            `json:"aggregate_id"`
	Status         string            `json:"status"`
	Attempts       int               `json:"attempts_made"`
	MaxAttempts    int               `json:"max_attempts"`
	Replays        int               `json:"replays"`
	Seq            int64             `json:"seq"`
	Held           bool              `json:"held"`
	ScheduledAt    time.Time         `json:"scheduled_at"`
	CompletedAt    *time.Time        `json:"completed_at,omitempty"`
	LastError      string            `json:"last_error,omitempty"`
	LockedBy       string            `json:"locked_by,omitempty"`
	TraceID        string            `json:"trace_id,omitempty"`
	CorrelationID  string            `json:"correlation_id,omitempty"`
	CausationID    string            `json:"causation_id,omitempty"`
	IdempotencyKey string            `json:"idempotency_key,omitempty"`
	SchemaVersion  string            `json:"schema_version,omitempty"`
	Headers        map[string]string `json:"headers,omitempty"`
	ContentType    string            `json:"content_type,omitempty"`
	PayloadBytes   int               `json:"payload_bytes"`
	Payload        *json.RawMessage  `json:"payload,omitempty"`
	Body           []byte            `json:"body,omitempty"`
}

func row(r *store.Row) *rowView {
	if r == nil {
		return nil
	}
	v := &rowView{
		ID: r.ID.String(), CreatedAt: r.CreatedAt, Topic: r.Topic, Key: r.PartitionKey, Type: r.EventType,
		AggregateType: r.AggregateType, AggregateID: r.AggregateID.String(), Status: string(r.Status), Attempts: r.AttemptsMade,
		MaxAttempts: r.MaxAttempts, Replays: r.Replays, Seq: r.Seq, Held: r.Held, ScheduledAt: r.ScheduledAt,
		CompletedAt: r.CompletedAt, LastError: r.LastError, LockedBy: r.LockedBy, TraceID: r.TraceID,
		CorrelationID: r.CorrelationID, CausationID: r.CausationID, IdempotencyKey: r.IdempotencyKey,
		SchemaVersion: r.SchemaVersion, Headers: r.Headers, ContentType: r.ContentType, PayloadBytes: r.PayloadBytes, Body: r.Body,
	}
	if r.Body == nil {
		v.Payload = r.Payload
	}
	return v
}

func newDeadShow(a *app) *cobra.Command {
	var pipeline string
	var payload bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show all that is known of a dead event",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("one argument expected: an event's id, or the number of a dead letter")
			}
			return nil
		},
		Long: `Shows the dead letters of an event, one for each time it died, and its row. The
id is that of the event or the number of a dead letter. The payload is shown only
with --payload. The exit code is 3 if there is no such event.`,
		Example: `  omnibox dead show 42
  omnibox dead show 5f0c0e9e-8f5f-4a53-9f0e-2a4a5b1f6c11 --payload`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			f := filterFlags{pipeline: pipeline}
			return a.withBoxes(cmd.Context(), f.names(), func(_ *config.Config, boxes []box) error {
				if err := oneDatabase(ids, boxes); err != nil {
					return err
				}
				for _, b := range tables(boxes) {
					got, err := b.ShowDead(cmd.Context(), store.ShowDeadParams{ID: ids[0], Payload: payload})
					if errors.Is(err, store.ErrNoDeadLetter) {
						continue
					}
					if err != nil {
						return err
					}
					return a.printShow(got)
				}
				return &codeError{code: exitNothing, err: errors.New("no event or dead letter has the id " + args[0] + "; see omnibox dead list --state all")}
			})
		},
	}
	cmd.Flags().StringVarP(&pipeline, "pipeline", "p", "", "look only at this `pipeline`")
	cmd.Flags().BoolVar(&payload, "payload", false, "show the payload too")
	return cmd
}

func (a *app) printShow(got store.ShowDeadResult) error {
	letters := make([]letterView, len(got.Letters))
	for i, l := range got.Letters {
		letters[i] = letter(l)
	}
	r := row(got.Row)
	if a.output == "json" {
		return a.json(map[string]any{"dead_letters": letters, "row": r})
	}
	for _, l := range letters {
		a.printf("Dead letter %d of pipeline %s: %s\n", l.ID, l.Pipeline, l.State)
		a.fields(
			"event", l.EventID, "topic", l.Topic, "key", l.Key, "type", l.Type,
			"died", stamp(l.LastAt)+", "+count(l.Attempts, "attempt", "attempts")+" since "+stamp(l.FirstAt),
			"class", l.Class, "fingerprint", l.Fingerprint, "error", l.Error,
		)
		if l.ResolvedAt != nil {
			a.fields(l.State, stamp(*l.ResolvedAt)+" by "+orDash(l.ResolvedBy), "note", l.Note)
		}
		a.printf("\n")
	}
	if r == nil {
		a.printf("The row is gone from the table: it cannot be replayed.\n")
		return nil
	}
	a.printRow(r)
	return nil
}

func (a *app) printRow(r *rowView) {
	a.printf("Row: %s\n", r.Status)
	a.fields(
		"event", r.ID, "topic", r.Topic, "key", r.Key, "type", r.Type, "aggregate", r.AggregateType+" "+r.AggregateID,
		"created", stamp(r.CreatedAt), "due", stamp(r.ScheduledAt),
		"attempts", fmt.Sprintf("%d of %d, replayed %s", r.Attempts, r.MaxAttempts, count(r.Replays, "time", "times")),
		"last error", r.LastError, "locked by", r.LockedBy, "trace", r.TraceID, "correlation", r.CorrelationID,
		"causation", r.CausationID, "idempotency key", r.IdempotencyKey, "schema version", r.SchemaVersion,
	)
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		a.fields("header "+name, r.Headers[name])
	}
	switch {
	case r.Payload != nil:
		a.printf("\n%s\n", *r.Payload)
	case r.Body != nil:
		a.printf("\n%s, %d bytes:\n%x\n", r.ContentType, r.PayloadBytes, r.Body)
	default:
		a.fields("payload", count(r.PayloadBytes, "byte", "bytes")+"; --payload shows it")
	}
}

// fields prints names and values, leaving out empty values.
func (a *app) fields(pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			a.printf("  %-16s%s\n", pairs[i], pairs[i+1])
		}
	}
}
