package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/omnibox-go/omnibox"
)

// Reason says why a drain ended.
type Reason string

// The reasons.
const (
	// Calm: nothing was due for as long as the drain lingers.
	Calm Reason = "calm"
	// SliceOver: its time is up; there may be more.
	SliceOver Reason = "slice over"
	// Stopped: the worker shuts down.
	Stopped Reason = "stopped"
	// StepStop: a step asked for the end of the batch.
	StepStop Reason = "stopped by a step"
	// Paused: a person has paused the pipeline.
	Paused Reason = "paused"
	// LeaseLost: another owner has the slots.
	LeaseLost Reason = "lease lost"
	// Unreachable: the destination is down and the breaker open.
	Unreachable Reason = "destination unreachable"
)

// Drain says what to work off and for how long.
type Drain struct {
	// Slots asked for; those that others hold are taken as they become free.
	Slots []int
	// Slice is how long the drain lasts at most.
	Slice time.Duration
	// Linger is how long it stays when nothing is due, so that an event
	// written in that time does not wait for a new drain.
	Linger time.Duration
	// Stop ends the drain in order: what is being handled is settled.
	Stop <-chan struct{}
	// Wake blocks until something may be due in some of Slots, and tells in
	// which, or until ctx ends.
	Wake func(ctx context.Context) ([]int, error)
	// Count receives every change of the counts, if set. It must not block.
	Count func(Counts)
}

// Counts of a drain.
type Counts struct {
	Fetched, Completed, Skipped, Retried, Dead, Released int64
}

// Report is what a drain did.
type Report struct {
	Reason Reason
	Counts
}

// batch is what one read brought.
type batch struct {
	at     time.Time
	events []*omnibox.Event
}

// decided is what became of a batch, or of a part of it.
type decided struct {
	at       time.Time
	outcomes []omnibox.Outcome
	settled  chan struct{} // closed when they are in the database, or cannot be
}

// drain is one running Drain: three stages that overlap, each its own
// goroutine, joined by channels without buffer, so that at most three batches
// are in hand.
type drain struct {
	*Pipeline
	Drain
	claim   omnibox.Claim
	hand    *inHand
	kick    chan struct{} // look again from the start
	stop    context.CancelCauseFunc
	stopped context.Context // no new batch is read or handled once it is done
	// lease ends when it is known to cover what is in hand no longer; the claim's
	// own deadline may already be that of slots which were lost and taken again
	lease  leaseEnd
	mu     sync.Mutex
	counts Counts
}

// errTooSlow ends a call to the database that can be of no use any more.
var errTooSlow = fmt.Errorf("database did not answer within the lease: %w", context.DeadlineExceeded)

// uncut is for calls that write a lease or a mark: cut off by the end of ctx,
// they would leave it behind with nobody who knows of it.
func uncut(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithoutCancel(ctx), limit, errTooSlow)
}

// ended is a Reason as the cause of a context.
type ended struct{ reason Reason }

func (e ended) Error() string { return string(e.reason) }

// Drain works off what is due in the slots until one of the reasons to end.
// It blocks for at most Slice plus the time to settle what is in hand. Events
// that were not handled are left as they were. The error is of the database or
// of ctx; a lost lease and an unreachable destination are reasons, not errors.
func (p *Pipeline) Drain(ctx context.Context, in Drain) (Report, error) {
	// a worker that has had nothing to do since an outage may not know of its end
	if !p.Breaker.answers(ctx) {
		return Report{Reason: Unreachable}, nil
	}
	claimCtx, cancel := uncut(ctx, p.Lease)
	claim, err := p.Fetch.Claim(claimCtx, in.Slots)
	cancel()
	if errors.Is(err, omnibox.ErrPaused) {
		return Report{Reason: Paused}, nil
	}
	if err != nil {
		return Report{}, fmt.Errorf("claim slots: %w", err)
	}
	ctx, cancel = p.untilEnding(ctx)
	defer cancel()
	stopped, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	d := &drain{Pipeline: p, Drain: in, claim: claim, hand: newInHand(), kick: make(chan struct{}, 1), stop: stop, stopped: stopped}
	d.lease.set(claim.Deadline())
	d.run(ctx)
	// the claim is given back even when ctx has ended: others need not wait
	if err := claim.Release(context.WithoutCancel(ctx)); err != nil {
		p.Log.WarnContext(ctx, "release claim", slog.Any("error", err))
	}
	report := Report{Counts: d.counts}
	cause := context.Cause(stopped)
	if e, ok := errors.AsType[ended](cause); ok {
		report.Reason = e.reason
		return report, nil
	}
	return report, cause
}

func (d *drain) run(ctx context.Context) {
	work := make(chan batch)
	done := make(chan decided)
	var stages, watch sync.WaitGroup
	finished := make(chan struct{})
	watch.Go(func() { d.watch(ctx, finished) })
	stages.Go(func() { defer close(work); d.readAll(ctx, work) })
	stages.Go(func() { defer close(done); d.handleAll(ctx, work, done) })
	stages.Go(func() { d.settleAll(ctx, done) })
	stages.Wait()
	close(finished)
	watch.Wait()
}

// watch ends the drain when its time is up, and extends the claim until the last
// stage has finished: what is in hand when the drain stops needs the lease too.
func (d *drain) watch(ctx context.Context, finished <-chan struct{}) {
	slice := time.NewTimer(d.Slice)
	defer slice.Stop()
	extend := time.NewTicker(d.extendEvery())
	defer extend.Stop()
	stop := d.Stop
	for {
		select {
		case <-finished:
			return
		case <-slice.C:
			d.stop(ended{SliceOver})
		case <-stop:
			d.stop(ended{Stopped})
			stop = nil
		case <-extend.C:
			if !d.extend(ctx) {
				return
			}
			extend.Reset(d.extendEvery())
		}
	}
}

// extendEvery is a third of the lease; while slots are missing, it asks for
// them more often.
func (d *drain) extendEvery() time.Duration {
	if len(d.claim.Slots()) < len(d.Slots) {
		return min(time.Second, d.Lease/3)
	}
	return d.Lease / 3
}

// extend returns false when there is nothing more to extend for.
func (d *drain) extend(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	before := len(d.claim.Slots())
	extendCtx, cancel := uncut(ctx, d.Lease/3)
	defer cancel()
	err := d.claim.Extend(extendCtx)
	switch {
	case errors.Is(err, omnibox.ErrLeaseLost), err != nil && len(d.claim.Slots()) < before:
		// what is in hand may be another's, whatever was extended or taken again
		d.lease.set(time.Time{})
		d.stop(ended{LeaseLost})
		return false
	case errors.Is(err, omnibox.ErrPaused):
		d.lease.set(d.claim.Deadline())
		d.stop(ended{Paused})
	case err != nil: // the claim ends by itself if this goes on
		d.Log.WarnContext(ctx, "extend lease", slog.Any("error", err))
	default:
		d.lease.set(d.claim.Deadline())
	}
	return true
}

// covered tells whether the lease still covers what is in hand.
func (d *drain) covered() bool { return time.Now().Before(d.lease.until()) }

func (d *drain) lookAgain() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// count adds up and tells.
func (d *drain) count(add func(*Counts)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	add(&d.counts)
	if d.Count != nil {
		d.Count(d.counts)
	}
}
