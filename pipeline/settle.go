package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/omnibox-go/omnibox"
)

// errLeaseOver stops the handler when the lease ends under it.
var errLeaseOver = fmt.Errorf("lease ends: %w", context.DeadlineExceeded)

// MaxFetches is how many deliveries an event may begin alone before it is
// taken for what kills its worker.
const MaxFetches = 5

// handleAll takes batches through the steps and the handler, one after the
// other: what is behind is sent only when what is before it has been decided. An
// event that runs alone waits until that has been settled too:
//
//  1. innocent A runs alone, and its outcome goes to the settler
//  2. poison B runs alone and ends the process before A is settled
//  3. the same again, and again: in the end A would have as many marks as B
func (d *drain) handleAll(ctx context.Context, work <-chan batch, done chan<- decided) {
	var last decided
	for b := range work {
		for rest := b.events; len(rest) > 0; {
			if rest[0].Fetches > 0 && last.settled != nil {
				<-last.settled
			}
			outcomes := d.handleSome(ctx, rest)
			d.hand.decided(outcomes)
			rest = rest[len(outcomes):]
			last = decided{at: b.at, outcomes: outcomes, settled: make(chan struct{})}
			done <- last
		}
	}
}

// handleSome decides at least the first of events, and gives the outcomes in
// their order. Those whose key waits are released.
func (d *drain) handleSome(ctx context.Context, events []*omnibox.Event) []omnibox.Outcome {
	group := nextGroup(events)
	free := d.hand.free(group)
	handled := d.handle(ctx, free)
	if len(free) == len(group) {
		return handled
	}
	outcomes := make([]omnibox.Outcome, 0, len(group))
	for _, e := range group {
		switch {
		case len(free) == 0 || e != free[0]:
			outcomes = append(outcomes, released(e))
		case len(handled) == 0: // not its turn yet
			return outcomes
		default:
			outcomes = append(outcomes, handled[0])
			free, handled = free[1:], handled[1:]
		}
	}
	return outcomes
}

// nextGroup is what may be handled together: an event that was under suspicion
// before runs alone.
func nextGroup(events []*omnibox.Event) []*omnibox.Event {
	n := 1
	for events[0].Fetches == 0 && n < len(events) && events[n].Fetches == 0 {
		n++
	}
	return events[:n]
}

// handle handles events that may go together, or the first of them. When the
// drain is stopping, or the lease no longer covers the work, it releases them
// untouched.
func (d *drain) handle(ctx context.Context, events []*omnibox.Event) []omnibox.Outcome {
	if len(events) == 0 {
		return nil
	}
	if !d.covered() {
		d.stop(ended{LeaseLost})
	}
	if _, open := d.Breaker.Open(); open {
		d.stop(ended{Unreachable})
	}
	if d.stopped.Err() != nil {
		return releasedAll(events)
	}
	alone := events[0].Fetches > 0
	if err := d.markSuspects(ctx, events); err != nil {
		d.stop(reasonOf(err))
		return releasedAll(events)
	}
	if alone && events[0].Fetches > MaxFetches {
		return []omnibox.Outcome{poison(events[0])}
	}
	outcomes := d.runBatch(ctx, events)
	if _, open := d.Breaker.Open(); open {
		d.stop(ended{Unreachable})
	}
	return outcomes
}

// markSuspects counts the fetch of those events that may have ended a worker,
// before they are handled: if this worker ends as well, the count tells.
func (d *drain) markSuspects(ctx context.Context, events []*omnibox.Event) error {
	var suspects []*omnibox.Event
	for _, e := range events {
		if e.Suspect {
			suspects = append(suspects, e)
		}
	}
	if len(suspects) == 0 {
		return nil
	}
	ctx, cancel := uncut(ctx, d.Lease)
	defer cancel()
	return d.claim.Mark(ctx, suspects)
}

func poison(e *omnibox.Event) omnibox.Outcome {
	return omnibox.Outcome{
		Event: e, Verdict: omnibox.Dead, Class: omnibox.ClassPoison, Attempts: e.Attempts,
		Error: fmt.Sprintf("its worker ended %d times while handling it", MaxFetches),
	}
}

func released(e *omnibox.Event) omnibox.Outcome {
	return omnibox.Outcome{Event: e, Verdict: omnibox.Released, Attempts: e.Attempts}
}

func releasedAll(events []*omnibox.Event) []omnibox.Outcome {
	outcomes := make([]omnibox.Outcome, 0, len(events))
	for _, e := range events {
		outcomes = append(outcomes, released(e))
	}
	return outcomes
}

// settleAll records what was decided, behind the handling of the next batch.
func (d *drain) settleAll(ctx context.Context, done <-chan decided) {
	for b := range done {
		d.settle(ctx, b)
		close(b.settled)
	}
}

func (d *drain) settle(ctx context.Context, b decided) {
	if err := d.commit(ctx, b.outcomes); err != nil {
		d.Log.WarnContext(ctx, "outcomes are lost, events come again", slog.Any("error", err))
		d.stop(reasonOf(err)) // what is behind is tried too: some slots may still be ours
		if errors.Is(err, omnibox.ErrLeaseLost) {
			d.escalate(ctx, b.outcomes) // what was ours is settled, and its workflow waited for
		}
		return
	}
	if d.hand.settled(b.outcomes) {
		d.lookAgain()
	}
	d.escalate(ctx, b.outcomes)
	d.finish(ctx, b)
}

// escalate tells of those that are to get a workflow.
func (p *Pipeline) escalate(ctx context.Context, outcomes []omnibox.Outcome) {
	if p.Escalate == nil {
		return
	}
	var failed []omnibox.Outcome
	for _, o := range outcomes {
		if o.Event.Escalated {
			failed = append(failed, o)
		}
	}
	if len(failed) > 0 {
		p.Escalate(ctx, failed)
	}
}

func (d *drain) commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	return d.insist(ctx, d.Commit, outcomes, d.lease.until)
}

// insist tries until the outcomes are in the database or the lease is over.
// It goes on when ctx ends: what was sent should not be sent again.
func (p *Pipeline) insist(ctx context.Context, to omnibox.CommitStrategy, outcomes []omnibox.Outcome, deadline func() time.Time) error {
	const first, most = 50 * time.Millisecond, time.Second
	ctx = context.WithoutCancel(ctx)
	for delay := first; ; delay = min(2*delay, most) {
		tryCtx, cancel := context.WithTimeoutCause(ctx, p.Lease, errLeaseOver)
		err := to.Commit(tryCtx, outcomes)
		cancel()
		if err == nil || errors.Is(err, omnibox.ErrLeaseLost) {
			return err
		}
		if omnibox.ClassOf(err) != omnibox.ClassUnreachable || !time.Now().Add(delay).Before(deadline()) {
			return fmt.Errorf("settle %d events: %w", len(outcomes), err)
		}
		p.Log.WarnContext(ctx, "settle, trying again", slog.Any("error", err), slog.Duration("after", delay))
		time.Sleep(delay)
	}
}

// finish counts and tells the steps that asked.
func (d *drain) finish(ctx context.Context, b decided) {
	d.count(func(c *Counts) {
		for _, o := range b.outcomes {
			switch o.Verdict {
			case omnibox.Completed:
				c.Completed++
			case omnibox.Skipped:
				c.Skipped++
			case omnibox.Retry:
				c.Retried++
			case omnibox.Dead:
				c.Dead++
			case omnibox.Released:
				c.Released++
			}
		}
	})
	took := time.Since(b.at)
	for _, o := range b.outcomes {
		d.tell(ctx, o, took)
	}
}

// tell tells people and finishers how an event ended.
func (p *Pipeline) tell(ctx context.Context, o omnibox.Outcome, took time.Duration) {
	if o.Verdict == omnibox.Retry || o.Verdict == omnibox.Dead {
		p.Log.WarnContext(ctx, "event failed", slog.String("event", o.Event.ID.String()), slog.String("verdict", string(o.Verdict)),
			slog.String("class", string(o.Class)), slog.Int("attempts", o.Attempts), slog.String("error", o.Error))
	}
	for _, f := range p.finishers {
		f.Finish(ctx, o, took)
	}
}
