package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// EventSignal is the argument of the signals "replay", "retry-now" and "discard".
type EventSignal struct {
	By   string `json:"by"`
	Note string `json:"note"`
}

// person is who may send signals to the workflow of an event.
type person struct {
	replay, retryNow, discard workflow.ReceiveChannel
	by                        string // who asked last
}

// decided is a signal with its name; the zero value is none.
type decided struct {
	EventSignal
	signal string
}

func listenToPerson(ctx workflow.Context) *person {
	return &person{
		replay:   workflow.GetSignalChannel(ctx, SignalReplay),
		retryNow: workflow.GetSignalChannel(ctx, SignalRetryNow),
		discard:  workflow.GetSignalChannel(ctx, SignalDiscard),
	}
}

// retryNowOr waits for the delay, or for the signal that cuts it short.
func (p *person) retryNowOr(ctx workflow.Context, delay time.Duration) error {
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timer := workflow.NewTimerWithOptions(timerCtx, delay, workflow.TimerOptions{Summary: "backoff"})
	p.retryNowBefore(ctx, timer)
	return ctx.Err()
}

// retryNowBefore waits for the signal or for f, and tells whether it was the
// signal. A replay asks for the same: the event is not dead.
func (p *person) retryNowBefore(ctx workflow.Context, f workflow.Future) (hurried bool) {
	take := func(c workflow.ReceiveChannel, _ bool) {
		var s EventSignal
		for c.ReceiveAsync(&s) {
			p.by, hurried = s.By, true
		}
	}
	over := false
	wait := workflow.NewSelector(ctx).AddFuture(f, func(workflow.Future) { over = true }).
		AddReceive(p.retryNow, take).AddReceive(p.replay, take)
	for !hurried && !over {
		wait.Select(ctx)
	}
	return hurried
}

// calm forgets that somebody was in a hurry.
func (p *person) calm() {
	for more := true; more; {
		more = p.retryNow.ReceiveAsync(nil)
	}
}

// hasDecided tells whether decision would return a signal at once.
func (p *person) hasDecided() bool {
	return p.discard.Len()+p.replay.Len()+p.retryNow.Len() > 0
}

// decision waits for what a person decides of a dead event, for some time at
// most. Who wants a retry of a dead event wants it replayed.
func (p *person) decision(ctx workflow.Context, within time.Duration) (d decided, err error) {
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	take := func(signal string) func(workflow.ReceiveChannel, bool) {
		return func(c workflow.ReceiveChannel, _ bool) {
			if c.ReceiveAsync(&d.EventSignal) {
				d.signal, p.by = signal, d.By
			}
		}
	}
	over := false
	timer := workflow.NewTimerWithOptions(timerCtx, within, workflow.TimerOptions{Summary: "waits for a person"})
	// of several that are ready, the one added first counts
	wait := workflow.NewSelector(ctx).
		AddReceive(p.discard, take(SignalDiscard)).
		AddReceive(p.replay, take(SignalReplay)).
		AddReceive(p.retryNow, take(SignalReplay)).
		AddFuture(timer, func(workflow.Future) { over = true })
	for d.signal == "" && !over {
		wait.Select(ctx)
	}
	return d, ctx.Err()
}
