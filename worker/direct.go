package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
)

const (
	// healthEvery is how often Temporal is asked whether it is there, where
	// temporal_down is direct.
	healthEvery = time.Second
	// handBack is how long the worker goes on by itself when Temporal is back: the
	// pollers' activities have to be missed before they are started again. Both may
	// work at once, since slots are leased.
	handBack = 12 * time.Second
)

// direct does the work of the batch lane without Temporal while that cannot be
// reached, under the same leases, and without escalation.
func (b *box) direct(ctx context.Context, p *pipeline.Pipeline, rows *rows) {
	for b.awaitTemporal(ctx, false) {
		if err := b.store.CheckSettings(ctx); err != nil {
			b.log.ErrorContext(ctx, "Temporal cannot be reached, and the worker does not relay without it", slog.Any("error", err))
			continue
		}
		b.log.WarnContext(ctx, "Temporal cannot be reached, relaying without it")
		b.state.direct(true)
		stop := make(chan struct{})
		var shards sync.WaitGroup
		for shard := range b.cfg.Shards {
			shards.Go(func() { b.relayShard(ctx, p, rows, shard, stop) })
		}
		consuming, endConsuming := context.WithCancel(ctx)
		for range b.members() {
			shards.Go(func() { b.consumeAlone(consuming) })
		}
		fitting, endFitting := b.whileSettingsFit(ctx)
		if b.awaitTemporal(fitting, true) {
			select {
			case <-time.After(handBack):
			case <-fitting.Done():
			}
		}
		endFitting()
		close(stop)
		endConsuming()
		shards.Wait()
		b.state.direct(false)
		switch err := context.Cause(fitting); {
		case isMismatch(err):
			b.log.ErrorContext(ctx, "no longer relaying without Temporal", slog.Any("error", err))
		case ctx.Err() == nil:
			b.log.InfoContext(ctx, "Temporal is back, its pollers go on")
		}
	}
}

// whileSettingsFit is ctx, which ends when somebody has changed what all workers of the
// table must agree on, with that as its cause.
func (b *box) whileSettingsFit(ctx context.Context) (context.Context, context.CancelFunc) {
	fitting, end := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(ensureEvery)
		defer tick.Stop()
		for {
			select {
			case <-fitting.Done():
				return
			case <-tick.C:
				if err := b.store.CheckSettings(fitting); isMismatch(err) {
					end(err)
				}
			}
		}
	}()
	return fitting, func() { end(nil) }
}

func isMismatch(err error) bool {
	_, is := errors.AsType[*store.SettingsMismatchError](err)
	return is
}

// awaitTemporal waits until Temporal answers, or twice in a row does not. It
// returns false when ctx ended first.
func (b *box) awaitTemporal(ctx context.Context, wanted bool) bool {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for missed := 0; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
		err := b.askTemporal(ctx)
		if missed++; err == nil {
			missed = 0
		}
		if wanted && err == nil || !wanted && missed == 2 {
			return true
		}
	}
}

func (b *box) askTemporal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*healthEvery)
	defer cancel()
	_, err := b.worker.temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err
}

// relayShard works for one shard until stop is closed or ctx ends.
func (b *box) relayShard(ctx context.Context, p *pipeline.Pipeline, rows *rows, shard int, stop chan struct{}) {
	slots := activities.ShardSlots(shard, b.cfg.Shards)
	wake := func(ctx context.Context) ([]int, error) { return rows.Wake(ctx, slots) }
	end := make(chan struct{}) // of this worker, or of the outage
	go func() {
		defer close(end)
		select {
		case <-stop:
		case <-ctx.Done():
		}
	}()
	work := context.WithoutCancel(ctx) // what is in hand is settled
	for {
		due, err := p.WaitDue(work, pipeline.Wait{
			Slots: slots, For: longPoll, Stop: end, Due: rows.Due,
			Wake: func(ctx context.Context) error { _, err := wake(ctx); return err },
		})
		if err == nil && due {
			_, err = p.Drain(work, pipeline.Drain{Slots: slots, Slice: b.cfg.Slice, Linger: linger, Stop: end, Wake: wake})
		}
		pause := time.Duration(0)
		if err != nil {
			b.log.WarnContext(ctx, "relaying without Temporal, trying again", slog.Any("error", err))
			pause = retryFirst
		}
		select {
		case <-end:
			return
		case <-time.After(pause):
		}
	}
}
