package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
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
	// ParkedUntil is there while the event's workflow waits for a person.
	ParkedUntil *time.Time `json:"parked_until,omitempty"`
	// Workflow is the one that the event has or had, if its lane has any.
	Workflow *workflowView `json:"workflow,omitempty"`
}

// viewer knows what a view needs beside what the database says.
type viewer struct {
	cfg      *config.Config
	temporal temporal
}

func newViewer(cfg *config.Config) viewer {
	return viewer{cfg: cfg, temporal: newTemporal(cfg.Temporal)}
}

func (v viewer) letter(l store.DeadLetter) letterView {
	out := letterView{
		ID: l.ID, EventID: l.EventID.String(), Pipeline: l.Pipeline, Table: l.TableName, Topic: l.Topic, Key: l.PartitionKey,
		Type: l.EventType, Class: string(l.ErrorClass), Fingerprint: l.Fingerprint, Error: l.Error, Attempts: l.Attempts,
		FirstAt: l.FirstAt, LastAt: l.LastAt, State: string(l.State), ResolvedAt: l.ResolvedAt, ResolvedBy: l.ResolvedBy, Note: l.Note,
		ParkedUntil: l.ParkedUntil,
	}
	if box, ok := v.cfg.Box(l.Pipeline); l.ParkedUntil != nil || ok && box.Lane != config.LaneBatch {
		out.Workflow = new(v.temporal.event(l.Pipeline, l.EventID))
	}
	return out
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
	LeaseUntil     *time.Time        `json:"lease_until,omitempty"`
	Workflow       *workflowView     `json:"workflow,omitempty"`
	TraceID        string            `json:"trace_id,omitempty"`
	CorrelationID  string            `json:"correlation_id,omitempty"`
	CausationID    string            `json:"causation_id,omitempty"`
	IdempotencyKey string            `json:"idempotency_key,omitempty"`
	SchemaVersion  string            `json:"schema_version,omitempty"`
	Headers        map[string]string `json:"headers,omitempty"`
	ContentType    string            `json:"content_type,omitempty"`
	MessageID      string            `json:"message_id,omitempty"`
	Source         string            `json:"source,omitempty"`
	ConsumerGroup  string            `json:"consumer_group,omitempty"`
	Partition      *int              `json:"partition,omitempty"`
	Offset         *int64            `json:"offset,omitempty"`
	RawHeaders     *json.RawMessage  `json:"raw_headers,omitempty"`
	PayloadBytes   int               `json:"payload_bytes"`
	Payload        *json.RawMessage  `json:"payload,omitempty"`
	Body           []byte            `json:"body,omitempty"`
}

func (v viewer) row(r *store.Row) *rowView {
	if r == nil {
		return nil
	}
	out := &rowView{
		ID: r.ID.String(), CreatedAt: r.CreatedAt, Topic: r.Topic, Key: r.PartitionKey, Type: r.EventType,
		AggregateType: r.AggregateType, AggregateID: r.AggregateID.String(), Status: string(r.Status), Attempts: r.AttemptsMade,
		MaxAttempts: r.MaxAttempts, Replays: r.Replays, Seq: r.Seq, Held: r.Held, ScheduledAt: r.ScheduledAt,
		CompletedAt: r.CompletedAt, LastError: r.LastError, LockedBy: r.LockedBy, LeaseUntil: r.LeaseUntil, TraceID: r.TraceID,
		CorrelationID: r.CorrelationID, CausationID: r.CausationID, IdempotencyKey: r.IdempotencyKey,
		SchemaVersion: r.SchemaVersion, Headers: r.Headers, ContentType: r.ContentType, PayloadBytes: r.PayloadBytes, Body: r.Body,
		MessageID: r.MessageID, Source: r.Source, ConsumerGroup: r.ConsumerGroup, Partition: r.Partition, Offset: r.Offset, RawHeaders: r.RawHeaders,
	}
	if r.Body == nil {
		out.Payload = r.Payload
	}
	if pipeline, ok := strings.CutPrefix(r.LockedBy, "workflow:"); ok && r.LeaseUntil != nil {
		out.Workflow = new(v.temporal.event(pipeline, r.ID))
	}
	return out
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
with --payload. A dead event that is parked has a workflow that waits for a person:
the commands that send it a signal are shown, and do what omnibox dead does.

The exit code is 3 if there is no such event.`,
		Example: `  omnibox dead show 42
  omnibox dead show 5f0c0e9e-8f5f-4a53-9f0e-2a4a5b1f6c11 --payload`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			f := filterFlags{pipeline: pipeline}
			return a.withBoxes(cmd.Context(), f.names(), func(cfg *config.Config, boxes []box) error {
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
					return a.printShow(newViewer(cfg), got)
				}
				return &codeError{code: exitNothing, err: errors.New("no event or dead letter has the id " + args[0] + "; see omnibox dead list --state all")}
			})
		},
	}
	cmd.Flags().StringVarP(&pipeline, "pipeline", "p", "", "look only at this `pipeline`")
	cmd.Flags().BoolVar(&payload, "payload", false, "show the payload too")
	return cmd
}

func (a *app) printShow(v viewer, got store.ShowDeadResult) error {
	letters := make([]letterView, len(got.Letters))
	for i, l := range got.Letters {
		letters[i] = v.letter(l)
	}
	r := v.row(got.Row)
	if a.output == "json" {
		return a.json(map[string]any{"dead_letters": letters, "row": r})
	}
	for _, l := range letters {
		a.printLetter(v.temporal, l, r != nil && r.RawHeaders != nil)
	}
	if r == nil {
		a.printf("The row is gone from the table: it cannot be replayed.\n")
		return nil
	}
	a.printRow(v.temporal, r)
	return nil
}

func (a *app) printLetter(t temporal, l letterView, unreadable bool) {
	a.printf("Dead letter %d of pipeline %s: %s\n", l.ID, l.Pipeline, l.State)
	a.fields(
		"event", l.EventID, "topic", l.Topic, "key", l.Key, "type", l.Type,
		"died", stamp(l.LastAt)+", "+count(l.Attempts, "attempt", "attempts")+" since "+stamp(l.FirstAt),
		"class", l.Class, "fingerprint", l.Fingerprint, "error", l.Error,
	)
	if l.ResolvedAt != nil {
		a.fields(l.State, stamp(*l.ResolvedAt)+" by "+orDash(l.ResolvedBy), "note", l.Note)
	}
	switch {
	case l.ParkedUntil != nil:
		a.fields(
			"workflow", l.Workflow.show(), "parked", "until "+stamp(*l.ParkedUntil)+", its workflow waits for a person",
			"to replay", t.signal(*l.Workflow, workflows.SignalReplay), "to discard", t.signal(*l.Workflow, workflows.SignalDiscard),
		)
	case l.State == string(store.DeadOpen) && unreadable:
		a.fields("parked", fmt.Sprintf("no; it could not be read: omnibox dead discard %d puts it away, and omnibox dead replay %d gives it to the handler as it came", l.ID, l.ID))
	case l.State == string(store.DeadOpen):
		a.fields("parked", fmt.Sprintf("no; omnibox dead replay %d puts it back", l.ID))
	}
	a.printf("\n")
}

func (a *app) printRow(t temporal, r *rowView) {
	a.printf("Row: %s\n", r.Status)
	a.fields(
		"event", r.ID, "topic", r.Topic, "key", r.Key, "type", r.Type, "aggregate", aggregate(r),
		"message", r.MessageID, "source", r.Source, "group", r.ConsumerGroup, "place", place(r),
		"created", stamp(r.CreatedAt), "due", stamp(r.ScheduledAt),
		"attempts", fmt.Sprintf("%d of %d, replayed %s", r.Attempts, r.MaxAttempts, count(r.Replays, "time", "times")),
		"last error", r.LastError, "locked by", r.LockedBy, "trace", r.TraceID, "correlation", r.CorrelationID,
		"causation", r.CausationID, "idempotency key", r.IdempotencyKey, "schema version", r.SchemaVersion,
	)
	if r.Workflow != nil {
		a.fields("workflow", r.Workflow.show(), "lease until", stamp(*r.LeaseUntil), "to retry now", t.signal(*r.Workflow, workflows.SignalRetryNow))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		a.fields("header "+name, r.Headers[name])
	}
	switch {
	case r.Payload != nil:
		a.printf("\n%s\n", *r.Payload)
	case r.Body != nil:
		a.printf("\n%s, %d bytes:\n%x\n", r.ContentType, r.PayloadBytes, r.Body)
	case r.PayloadBytes == 0:
		a.fields("payload", "none: it came without a value")
	default:
		a.fields("payload", count(r.PayloadBytes, "byte", "bytes")+"; --payload shows it")
	}
}

// aggregate is empty where a message names none.
func aggregate(r *rowView) string {
	if r.AggregateType == "" {
		return ""
	}
	return r.AggregateType + " " + r.AggregateID
}

// place is where a message was in its topic.
func place(r *rowView) string {
	if r.Partition == nil || r.Offset == nil {
		return ""
	}
	return fmt.Sprintf("partition %d, offset %d", *r.Partition, *r.Offset)
}

// fields prints names and values, leaving out empty values.
func (a *app) fields(pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			a.printf("  %-16s%s\n", pairs[i], pairs[i+1])
		}
	}
}
