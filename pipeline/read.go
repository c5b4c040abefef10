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

// look is what one read found.
type look struct {
	batch
	more bool
	// whole: all slots were held and nothing was in hand when it began, so that
	// what it did not find is not there
	whole bool
	// avoided: it brought events of avoided keys alone
	avoided bool
}

// readAll reads batches ahead of the handling until the drain stops or
// nothing has been due for Linger.
func (d *drain) readAll(ctx context.Context, work chan<- batch) {
	active, scanned := time.Now(), time.Now()
	all := true // the read looks into all slots
	for d.stopped.Err() == nil {
		l, err := d.read(ctx)
		if err != nil {
			d.stop(reasonOf(err))
			return
		}
		if len(l.events) > 0 {
			active = time.Now()
			work <- l.batch // never for long: handling gives all back once the drain has stopped
		}
		if l.more && l.avoided {
			scanned = time.Now() // however long it takes to pass over them, those behind get their time
		}
		if l.more && time.Since(scanned) < rescanEvery {
			continue
		}
		if len(l.events) == 0 && !l.more && l.whole && all && time.Since(active) >= d.Linger {
			d.stop(ended{Calm})
			return
		}
		var woken []int
		if !l.more {
			woken = d.idle() //nolint:contextcheck // it waits in d.stopped, which comes from ctx
		}
		if all = len(woken) == 0 || time.Since(scanned) >= pollEvery; all {
			woken, scanned = nil, time.Now()
		}
		d.rescan(!l.more, woken)
	}
}

func (d *drain) read(ctx context.Context) (look, error) {
	nothing := d.hand.beginRead()
	held := len(d.claim.Slots())
	l := look{batch: batch{at: time.Now()}, whole: nothing && held == len(d.Slots)}
	if !d.covered() {
		return l, omnibox.ErrLeaseLost
	}
	if held == 0 && len(d.Slots) > 0 {
		return l, nil // all are still held by others
	}
	ctx, cancel := uncut(ctx, d.Lease)
	defer cancel()
	events, more, err := d.claim.Fetch(ctx, d.Batch)
	if err != nil {
		return l, err
	}
	l.events, l.more = d.hand.take(events), more
	l.avoided = d.hand.avoidsAll(l.events)
	d.count(func(c *Counts) { c.Fetched += int64(len(l.events)) })
	return l, nil
}

// rescan makes the next read start from the first due event of slots, of all
// if there are none, as soon as that keeps the order. Ended says that reading had
// come to the end.
func (d *drain) rescan(ended bool, slots []int) {
	for !d.hand.beginScan(ended) {
		select {
		case <-d.kick:
		case <-d.stopped.Done():
			return
		}
	}
	d.claim.Rewind(slots...)
}

// idle waits for a reason to look again: in the slots that it returns, or in
// all if there are none.
func (d *drain) idle() (slots []int) {
	wakeCtx, cancel := context.WithTimeout(d.stopped, pollEvery)
	defer cancel()
	woken := make(chan struct{})
	go func() {
		defer close(woken)
		slots, _ = d.Wake(wakeCtx) // woken, timed out or stopped: look again in any case
	}()
	select {
	case <-d.kick:
		cancel()
		<-woken
		return nil
	case <-woken:
		return slots
	}
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
