package inbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

// Ack says when the offset of a message is committed.
type Ack string

// The strategies. They are omni-box's, and mean the same where a handler fails;
// but a message that is in the table is never lost.
const (
	// AtMostOnce: before the message is in the table. A crash in between loses it.
	AtMostOnce Ack = "at-most-once"
	// OnPersist: once the message is in the table.
	OnPersist Ack = "on-persist"
	// OnSuccess: once the message is completed, or its dead letter discarded.
	OnSuccess Ack = "on-success"
	// ExactlyOnce is OnSuccess where every handler runs in the transaction that
	// completes its message.
	ExactlyOnce Ack = "exactly-once-inbox"
)

// waits tells whether an offset waits for the handler.
func (a Ack) waits() bool { return a == OnSuccess || a == ExactlyOnce }

// Table is an inbox's table as those need it who land messages.
type Table interface {
	// Land writes messages that are not there yet, in their order, durably before
	// it returns.
	Land(ctx context.Context, events []*omnibox.Event) (Landed, error)
	// Settled gives those of message ids that need nobody any more: completed or
	// gone, discarded, and, if dead is asked for, dead.
	Settled(ctx context.Context, ids []string, dead bool) (map[string]bool, error)
	// Full tells whether more messages wait for their handlers than may.
	Full(ctx context.Context) (bool, error)
	// Report tells people how it stands with a consumer.
	Report(ctx context.Context, status broker.ConsumerStatus) error
}

// Landed is what became of messages.
type Landed struct {
	// New ones; those that were there already; and those that cannot be read, which
	// are dead letters now.
	New, Duplicates, Unreadable int
}

// Lander brings the messages of one consumer into the table of an inbox.
type Lander struct {
	Consumer broker.Consumer
	// Read makes an event of a message. It never fails: what cannot be read is an
	// event that says so.
	Read  func(broker.Message) *omnibox.Event
	Table Table
	Ack   Ack
	// CommitOnFailed also commits an offset once its message is dead.
	CommitOnFailed bool
	// MaxUncommitted is how many messages may wait for their offsets to be
	// committed, where these wait for handlers; with more, consuming is paused.
	MaxUncommitted int
	// Landed is told of every poll, if set. It must not block.
	Landed func(Landed)
	Log    *slog.Logger
}

const (
	lookEvery   = time.Second
	landFirst   = 100 * time.Millisecond
	landMost    = 5 * time.Second
	landLast    = 5 * time.Second
	settleChunk = 1000
)

// Run lands messages until ctx ends, and then leaves the group in order. It
// blocks until then. The database being down is no reason to end: what was
// consumed waits, and the partitions are kept.
func (l *Lander) Run(ctx context.Context) error {
	r := &landing{Lander: l, uncommitted: newUncommitted()}
	besides, stop := outliving(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { r.watch(besides) })
	err := l.Consumer.Run(ctx, r.land)
	stop()
	watch.Wait()
	return err
}

// landing is one Run of a Lander.
type landing struct {
	*Lander
	uncommitted *uncommitted
}

// outliving is ctx, which lasts for a while after its end: a poll in hand is still
// landed and committed then, so that it does not come again.
func outliving(ctx context.Context) (context.Context, context.CancelFunc) {
	lasting, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(landLast, func() { cancel(context.Cause(ctx)) })
	})
	return lasting, func() { stop(); cancel(context.Canceled) }
}

// land writes a poll, and commits what the strategy allows.
func (r *landing) land(ctx context.Context, poll []broker.Message) error {
	ctx, done := outliving(ctx)
	defer done()
	events := make([]*omnibox.Event, len(poll))
	last := map[broker.Partition]int64{}
	for i, m := range poll {
		events[i] = r.Read(m)
		last[broker.Partition{Topic: m.Topic, ID: m.Partition}] = m.Offset
	}
	if r.Ack == AtMostOnce {
		if err := r.Consumer.Commit(ctx, last); err != nil {
			return nil // ctx has ended, and nothing has been done: they come again
		}
	}
	landed, err := r.insist(ctx, events)
	if err != nil {
		return err
	}
	if r.Landed != nil {
		r.Landed(landed)
	}
	switch {
	case r.Ack.waits():
		r.uncommitted.add(events)
	case r.Ack == OnPersist:
		if err := r.Consumer.Commit(ctx, last); err != nil {
			r.Log.WarnContext(ctx, "offsets are not committed, messages come again and are known then", slog.Any("error", err))
		}
	}
	return nil
}

// insist lands events, whatever the database needs for it, until ctx ends.
func (r *landing) insist(ctx context.Context, events []*omnibox.Event) (Landed, error) {
	for delay := landFirst; ; delay = min(2*delay, landMost) {
		landed, err := r.Table.Land(ctx, events)
		if err == nil || ctx.Err() != nil {
			return landed, err
		}
		r.Log.WarnContext(ctx, "land messages, trying again", slog.Any("error", err), slog.Int("messages", len(events)), slog.Duration("after", delay))
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return Landed{}, context.Cause(ctx)
		}
	}
}

// watch commits what was handled, holds the consumer back while too much waits,
// and tells people how it stands.
func (r *landing) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if r.Ack.waits() {
			r.warn(ctx, "look for handled messages", r.commitHandled(ctx))
		}
		r.warn(ctx, "hold consumer back", r.holdBack(ctx))
		r.warn(ctx, "report consumer", r.Table.Report(ctx, r.Consumer.Status()))
	}
}

func (r *landing) warn(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		r.Log.WarnContext(ctx, what, slog.Any("error", err)) //nolint:sloglint // one of three constants
	}
}

// commitHandled commits the offsets up to the first message of each partition that
// still needs somebody.
func (r *landing) commitHandled(ctx context.Context) error {
	r.uncommitted.keep(r.Consumer.Status)
	for {
		ids := r.uncommitted.first(settleChunk)
		if len(ids) == 0 {
			return nil
		}
		settled, err := r.Table.Settled(ctx, ids, r.CommitOnFailed)
		if err != nil {
			return err
		}
		done := r.uncommitted.drop(settled)
		if len(done) == 0 {
			return nil
		}
		if err := r.Consumer.Commit(ctx, done); err != nil {
			return err
		}
		if len(settled) < len(ids) {
			return nil // what is behind waits for the others
		}
	}
}

// holdBack pauses consuming while enough waits, and resumes it.
func (r *landing) holdBack(ctx context.Context) error {
	tableFull, err := r.Table.Full(ctx)
	if err != nil {
		return err
	}
	full := tableFull || r.Ack.waits() && r.uncommitted.len() >= r.MaxUncommitted
	paused := r.Consumer.Status().Paused
	switch {
	case full && !paused:
		if tableFull {
			r.Log.WarnContext(ctx, "consuming is paused: max_pending messages wait for their handlers")
		} else {
			r.Log.WarnContext(ctx, "consuming is paused: max_pending messages are uncommitted, behind one that is not completed; replay or discard its dead letter, or set commit_on_failed",
				slog.Int("uncommitted", r.uncommitted.len()), slog.Any("behind", r.uncommitted.heads()))
		}
		r.Consumer.Pause()
	case !full && paused:
		r.Log.InfoContext(ctx, "consuming goes on")
		r.Consumer.Resume()
	}
	return nil
}
