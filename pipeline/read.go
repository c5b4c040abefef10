package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/omnibox-go/omnibox"
)

const (
	// rescanEvery bounds how long a row that was committed late, behind the
	// place that reading has reached, waits under load.
	rescanEvery = time.Second
	// pollEvery is for rows whose time comes without a wake-up: scheduled
	// ones, retries, and all where notifications do not get through.
	pollEvery = 500 * time.Millisecond
)

// readAll reads batches ahead of the handling until the drain stops or
// nothing has been due for Linger.
func (d *drain) readAll(ctx context.Context, work chan<- batch) {
	active, scanned := time.Now(), time.Now()
	for d.stopped.Err() == nil {
		b, more, err := d.read(ctx)
		if err != nil {
			d.stop(reasonOf(err))
			return
		}
		if len(b.events) > 0 {
			active = time.Now()
			work <- b // never for long: handling gives all back once the drain has stopped
		}
		if more && time.Since(scanned) < rescanEvery {
			continue
		}
		if !more && !d.idle(active) {
			d.stop(ended{Calm})
			return
		}
		d.rescan()
		scanned = time.Now()
	}
}

func (d *drain) read(ctx context.Context) (batch, bool, error) {
	d.hand.beginRead()
	b := batch{at: time.Now()}
	if !d.covered() {
		return b, false, omnibox.ErrLeaseLost
	}
	if len(d.claim.Slots()) == 0 {
		return b, false, nil // all are still held by others
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.Lease, errTooSlow)
	defer cancel()
	events, more, err := d.claim.Fetch(ctx, d.Batch)
	if err != nil {
		return b, false, err
	}
	b.events = d.hand.take(events)
	d.count(func(c *Counts) { c.Fetched += int64(len(b.events)) })
	return b, more, nil
}

// rescan makes the next read start from the first due event, as soon as that
// keeps the order.
func (d *drain) rescan() {
	for !d.hand.beginScan() {
		select {
		case <-d.kick:
		case <-d.stopped.Done():
			return
		}
	}
	d.claim.Rewind()
}

// idle waits for a reason to look again. It returns false when there has been
// none for Linger and nothing is in hand.
func (d *drain) idle(active time.Time) bool {
	wakeCtx, cancel := context.WithTimeout(d.stopped, pollEvery)
	defer cancel()
	woken := make(chan struct{})
	go func() {
		defer close(woken)
		_ = d.Wake(wakeCtx) // woken, timed out or stopped: look again in any case
	}()
	select {
	case <-d.kick:
		cancel()
		<-woken
	case <-woken:
	}
	if d.stopped.Err() != nil {
		return true // readAll sees that the drain has stopped
	}
	lingered := time.Since(active) >= d.Linger && len(d.claim.Slots()) == len(d.Slots)
	return !lingered || d.hand.len() > 0
}

// reasonOf turns an error of the claim into the cause of the drain's end.
func reasonOf(err error) error {
	switch {
	case errors.Is(err, omnibox.ErrPaused):
		return ended{Paused}
	case errors.Is(err, omnibox.ErrLeaseLost):
		return ended{LeaseLost}
	default:
		return err
	}
}
