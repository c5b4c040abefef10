package main

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker/config"
)

func newEvents(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", Short: "See what waits in a table, and one event",
		Long: `Shows events of outboxes and messages of inboxes that are not dead letters: what
waits and for what, and all that is known of one of them.`,
		RunE: group,
	}
	cmd.AddCommand(newEventsList(a), newEventsShow(a))
	return cmd
}

// waitingView is a pending event as JSON.
type waitingView struct {
	ID          string    `json:"id"`
	CreatedAt   time.Time `json:"created_at"`
	Topic       string    `json:"topic"`
	Key         string    `json:"key"`
	Type        string    `json:"type"`
	State       string    `json:"state"`
	Attempts    int       `json:"attempts_made"`
	MaxAttempts int       `json:"max_attempts"`
	ScheduledAt time.Time `json:"scheduled_at"`
	Seq         int64     `json:"seq"`
	LockedBy    string    `json:"locked_by,omitempty"`
	Class       string    `json:"class,omitempty"`
	LastError   string    `json:"last_error,omitempty"`
}

func newEventsList(a *app) *cobra.Command {
	var f store.WaitingFilter
	var limit int
	cmd := &cobra.Command{
		Use: "list [pipeline]", Short: "List what waits, what comes next first", Args: atMost(1, "the pipeline"),
		Long: `Lists pending events, those that come next first, with what each of them waits
for: its turn (due), its time, an earlier event of its key, or whoever has it in
hand. It reads little, whatever the backlog.

The exit code is 3 if nothing waits.`,
		Example: `  omnibox events list orders
  omnibox events list billing --topic orders --key 4711`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usagef("--limit %d: it is at least 1", limit)
			}
			return a.one(cmd.Context(), args, func(b box) error {
				all, err := b.Waiting(cmd.Context(), f, limit)
				if err != nil {
					return err
				}
				return a.printWaiting(all)
			})
		},
	}
	cmd.Flags().StringVar(&f.Topic, "topic", "", "only of this `topic`")
	cmd.Flags().StringVar(&f.Key, "key", "", "only of this `key`")
	cmd.Flags().StringVar(&f.Type, "type", "", "only of this event `type`")
	cmd.Flags().IntVar(&limit, "limit", 20, "at most so many")
	return cmd
}

func (a *app) printWaiting(all []store.Waiting) error {
	if a.output == "json" {
		views := make([]waitingView, len(all))
		for i, w := range all {
			views[i] = waitingView{
				ID: w.ID.String(), CreatedAt: w.CreatedAt, Topic: w.Topic, Key: w.PartitionKey, Type: w.EventType, State: w.State,
				Attempts: w.AttemptsMade, MaxAttempts: w.MaxAttempts, ScheduledAt: w.ScheduledAt, Seq: w.Seq, LockedBy: w.LockedBy,
				Class: string(w.ErrorClass), LastError: w.LastError,
			}
		}
		if err := a.json(views); err != nil {
			return err
		}
	} else if len(all) > 0 {
		rows := make([][]any, len(all))
		for i, w := range all {
			rows[i] = []any{w.ID, w.Topic, w.PartitionKey, w.EventType, stamp(w.CreatedAt), w.State, w.AttemptsMade, orDash(short(w.LastError, 40))}
		}
		a.table([]any{"event", "topic", "key", "type", "created", "waits", "attempts", "last error"}, rows)
	}
	if len(all) == 0 {
		return &codeError{code: exitNothing, err: errors.New("nothing waits")}
	}
	return nil
}

func newEventsShow(a *app) *cobra.Command {
	var pipeline string
	var payload bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show all that is known of an event",
		Long: `Shows an event's row, and its dead letters if it died. The id is that of the
event or, in an inbox, of the message. The payload is shown only with --payload.

The exit code is 3 if there is no such event.`,
		Example: `  omnibox events show 5f0c0e9e-8f5f-4a53-9f0e-2a4a5b1f6c11
  omnibox events show orders:3:1042 -p billing --payload`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("one argument expected: the id of an event or of a message")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f := filterFlags{pipeline: pipeline}
			return a.withBoxes(cmd.Context(), f.names(), func(cfg *config.Config, boxes []box) error {
				for _, b := range boxes {
					event, found, err := b.find(cmd.Context(), args[0])
					if err != nil {
						return err
					}
					if !found {
						continue
					}
					got, err := b.ShowDead(cmd.Context(), store.ShowDeadParams{ID: store.DeadID{Event: event}, Payload: payload})
					if errors.Is(err, store.ErrNoDeadLetter) {
						continue
					}
					if err != nil {
						return err
					}
					return a.printShow(newViewer(cfg), got)
				}
				return &codeError{code: exitNothing, err: errors.New("no event or message has the id " + args[0])}
			})
		},
	}
	cmd.Flags().StringVarP(&pipeline, "pipeline", "p", "", "look only at this `pipeline`")
	cmd.Flags().BoolVar(&payload, "payload", false, "show the payload too")
	return cmd
}

// find looks an id up: that of a message first, which may look like an event's.
func (b box) find(ctx context.Context, id string) (event uuid.UUID, found bool, err error) {
	if b.cfg.Inbox != nil {
		if event, found, err = b.EventOf(ctx, id); err != nil || found {
			return event, found, err
		}
	}
	event, err = uuid.Parse(id)
	return event, err == nil, nil
}
