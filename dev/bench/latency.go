package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/dev/bench/lab"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
)

// pace is how many events a second are written, a transaction each.
const pace = 200

// What the batch lane must reach at that pace: absolutely, and beside a bare loop
// that is woken by NOTIFY.
const (
	maxP50, maxP99 = 10, 50 // ms
	latencyRatio   = 1.5
	cpuRatio       = 1.5
)

// latencies measure the time from a commit until a consumer has the event.
func latencies() []Variant {
	goals := []Goal{
		{Figure: P50, Absolute: true, AtMost: maxP50},
		{Figure: P50, AtMost: latencyRatio},
		{Figure: P99, Absolute: true, AtMost: maxP99},
		{Figure: P99, AtMost: latencyRatio},
		{Figure: CPU, AtMost: cpuRatio},
	}
	return []Variant{
		{Name: "notify-loop", Title: fmt.Sprintf("commit to consumer at %d events/s: bare NOTIFY loop", pace), run: runLatency(notifyLoop, used)},
		{Name: "lane-notify", Title: "the same: batch lane, one drain", Against: "notify-loop", Goals: goals, run: runLatency(laneOf(1), used)},
		{Name: "lane-notify-4", Title: "the same: batch lane, four drains", Against: "notify-loop", Goals: goals, run: runLatency(laneOf(4), used)},
		{Name: "lane-notify-fresh", Title: "the same: batch lane, a table without a past", Against: "notify-loop", Goals: goals, run: runLatency(laneOf(1), fresh)},
	}
}

// past is what there is in a table before a run.
type past func(context.Context, *lab.Box, int) error

// used fills a table with events that were delivered long ago, so that the
// planner knows it: what a bare loop reads is no better than its statistics.
func used(ctx context.Context, b *lab.Box, events int) error {
	if err := b.Fill(ctx, events); err != nil {
		return err
	}
	if _, err := b.DB.Exec(ctx, statement("deliver_all")); err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	return b.Settle(ctx)
}

// fresh leaves the table as it was migrated: the planner takes it for empty
// until autovacuum has seen it.
func fresh(ctx context.Context, b *lab.Box, _ int) error { return b.Settle(ctx) }

// runLatency has a relay work while another process writes events and consumes
// them. The CPU time is that of the relay alone: of this process, and of
// Postgres without the producer's session.
func runLatency(relay func(context.Context, *lab.Box) error, past past) func(context.Context, Setup) (Sample, error) {
	return func(ctx context.Context, s Setup) (_ Sample, err error) {
		b, err := s.Lab.Box(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, b.Close(ctx)) }()
		if err := past(ctx, b, s.Events); err != nil {
			return nil, err
		}
		relayCtx, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- relay(relayCtx, b) }()
		load := Work{URL: b.URL, Brokers: b.Brokers, Topic: b.Topic, Pace: pace, For: s.Latency}
		report, cost, err := runLoad(ctx, s.Lab, load)
		stop()
		if relayErr := <-ended; relayErr != nil && !errors.Is(relayErr, context.Canceled) {
			err = errors.Join(relayErr, err)
		}
		if err != nil {
			return nil, err
		}
		cost.Postgres -= report.SessionCPU
		return Sample{P50: report.P50, P99: report.P99}.cost(cost, report.Events), nil
	}
}

// notifyLoop is the least that relays an event soon after its commit: woken by
// the table's trigger, it reads what is due, sends and marks it.
func notifyLoop(ctx context.Context, b *lab.Box) error {
	listener, err := pgx.Connect(ctx, b.URL)
	if err != nil {
		return err
	}
	defer listener.Close(context.WithoutCancel(ctx))
	var channel string
	if err := listener.QueryRow(ctx, "select 'omnibox_' || 'outbox_events'::regclass::oid").Scan(&channel); err != nil {
		return err
	}
	if _, err := listener.Exec(ctx, "listen "+channel); err != nil {
		return err
	}
	send, stop, err := loop{}.sender(b)
	if err != nil {
		return err
	}
	defer stop()
	for {
		if _, err := listener.WaitForNotification(ctx); err != nil {
			return err
		}
		rows, err := readRows(ctx, b.DB, statement("notify_read"), pgx.StrictNamedArgs{"batch": batch})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			continue // they came with the last ones
		}
		if err := send(ctx, rows); err != nil {
			return err
		}
		if err := settle(ctx, b.DB, statement("loop_complete"), rows); err != nil {
			return err
		}
	}
}

// laneOf is the batch lane with so many drains, woken as in the worker.
func laneOf(drains int) func(context.Context, *lab.Box) error {
	return func(ctx context.Context, b *lab.Box) error {
		p, stop, err := lane{onComplete: "keep"}.pipeline(ctx, b)
		if err != nil {
			return err
		}
		defer stop()
		watcher := store.Watch(ctx, b.DB, "outbox_events", quiet)
		defer watcher.Close()
		errs := make(chan error, drains)
		for n := range drains {
			go func() { errs <- linger(ctx, p, watcher, activities.ShardSlots(n, drains)) }()
		}
		for range drains {
			err = errors.Join(err, <-errs)
		}
		return err
	}
}

// linger drains until ctx ends.
func linger(ctx context.Context, p *pipeline.Pipeline, watcher *store.Watcher, slots []int) error {
	subscription := watcher.Subscribe(slots)
	defer subscription.Close()
	report, err := p.Drain(context.WithoutCancel(ctx), pipeline.Drain{
		Slots: slots, Slice: time.Hour, Linger: time.Hour, Stop: ctx.Done(),
		Wake: subscription.Wait,
	})
	if err == nil && report.Reason != pipeline.Stopped {
		return fmt.Errorf("drain ended: %s", report.Reason)
	}
	return err
}
