package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// grace is how long a handler may take to return once its context has ended.
const grace = time.Second

// find gives the call of an item.
func (c *call) find(ctx context.Context, it item) (Call, error) {
	if it.err != nil {
		return Call{}, it.err
	}
	found := make(chan Call, 1)
	err := c.bounded(ctx, nil, func(context.Context, pgx.Tx) error {
		call, err := c.finder.Find(it.stored)
		found <- call
		return err
	})
	if err != nil {
		return Call{}, c.code.classify(err)
	}
	return <-found, nil
}

// finding is what Find gave.
type finding struct {
	call Call
	err  error
}

// findAll gives the call of each item. All together may take as long as one, and
// if they take longer, or one panics, there is an error for all.
func (c *call) findAll(ctx context.Context, items []item) ([]finding, error) {
	found := make(chan []finding, 1)
	err := c.bounded(ctx, nil, func(context.Context, pgx.Tx) error {
		all := make([]finding, len(items))
		for i, it := range items {
			if all[i].err = it.err; it.err == nil {
				all[i].call, all[i].err = c.finder.Find(it.stored)
			}
			all[i].err = c.code.classify(readable(all[i].err))
		}
		found <- all
		return nil
	})
	if err != nil {
		return nil, err
	}
	return <-found, nil
}

// errDatabase ends a transaction that waits too long for the database.
var errDatabase = fmt.Errorf("the database did not complete messages in time: %w", context.DeadlineExceeded)

// complete runs a handler in the transaction that completes items.
func (c *call) complete(ctx context.Context, codes classes, items []item, run func(context.Context, pgx.Tx, []*omnibox.Event) error) error {
	events := make([]*omnibox.Event, 0, len(items))
	for _, it := range items {
		events = append(events, it.e)
	}
	// as long again as the handler may take, to get at the rows and to commit
	txCtx, cancel := context.WithTimeoutCause(ctx, 2*c.cfg.Timeout+2*grace, errDatabase)
	defer cancel()
	ran, broke, failed := false, false, error(nil)
	err := c.completer.Complete(txCtx, events, func(ctx context.Context, tx pgx.Tx, events []*omnibox.Event) error {
		ran = true
		failed = codes.classifyIn(tx, c.bounded(ctx, tx, func(ctx context.Context, tx pgx.Tx) error { return run(ctx, tx, events) }))
		broke = tx != nil && tx.Conn().IsClosed()
		return failed
	})
	late := ctx.Err() == nil && txCtx.Err() != nil
	switch {
	case err == nil:
		c.losses.kept(items)
		return nil
	case failed != nil && (!late || !errors.Is(failed, omnibox.ErrNotSent)): // whatever else the rollback says
		return c.losses.judge(items, failed, broke)
	case errors.Is(err, omnibox.ErrLeaseLost):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", omnibox.ErrNotSent, context.Cause(ctx))
	case late:
		return omnibox.Unreachable(errDatabase)
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return omnibox.Transient(fmt.Errorf("the handler went on after an error in its transaction: %w", err))
	}
	return c.losses.judge(items, codes.classifyOwn(err, ran), ran)
}

// bounded calls the user's code, and waits for it no longer than it may take, or
// ctx lasts, and the grace. What it still does after that has no effect in tx, if
// there is one: the rows that it has locked are free soon, though it never
// returns.
func (c *call) bounded(ctx context.Context, tx pgx.Tx, run func(context.Context, pgx.Tx) error) error {
	timedOut := omnibox.Transient(fmt.Errorf("handler timed out after %s", c.cfg.Timeout))
	runCtx, cancel := context.WithTimeoutCause(ctx, c.cfg.Timeout, timedOut)
	defer cancel()
	var its *handlerTx
	if tx != nil {
		its = &handlerTx{Tx: tx, gate: newGate()}
		tx = its
	}
	done := make(chan error, 1) // the hand goes on even if nobody waits any more
	h := c.hands.take()
	h <- func() { c.try(runCtx, tx, run, done) }
	select {
	case err := <-done:
		if errors.Is(err, errEnded) {
			h.drop()
		} else {
			c.hands.giveBack(h)
		}
		return judge(ctx, runCtx, err, timedOut)
	case <-runCtx.Done():
	}
	defer h.drop()
	returned, err := within(grace, done)
	if !returned && its != nil {
		its.shut(its.Tx.Conn().PgConn())
		returned, err = within(grace, done) // what waited for the database returns now
		if returned && err == nil {
			err = timedOut // its transaction is gone
		}
	}
	if returned {
		return judge(ctx, runCtx, err, timedOut)
	}
	c.cfg.Log.WarnContext(ctx, "handler does not return, and is not waited for any longer", slog.Duration("timeout", c.cfg.Timeout))
	return judge(ctx, runCtx, timedOut, timedOut)
}

// within waits for a handler for a while.
func within(d time.Duration, done <-chan error) (returned bool, err error) {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case err = <-done:
		return true, err
	case <-wait.C:
		return false, nil
	}
}

// judge tells a failure of the handler from the end of its time, or of
// everything, which it may have seen first and called by a name of its own.
func judge(ctx, runCtx context.Context, err, timedOut error) error {
	late := errors.Is(context.Cause(runCtx), timedOut) // before anything else ended
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !late:
		if said := tell(err); marked(err) && omnibox.ClassOf(err) != omnibox.ClassTransient || isSkip(err) {
			return said
		}
		return fmt.Errorf("%w: %w", omnibox.ErrNotSent, context.Cause(ctx))
	case marked(err):
	case late:
		return timedOut
	}
	if omnibox.ClassOf(err) == omnibox.ClassCancelled { // else it would come again at once, uncounted, for ever
		return omnibox.Transient(errors.New(tell(err).Error()))
	}
	return err
}

// errEnded is that of a handler that took its hand with it.
var errEnded = omnibox.Transient(errors.New("handler ended its goroutine instead of returning"))

// try calls the user's code, and says what it came to, also if that ends the
// goroutine, which goes on ending after a panic on its way out.
func (a *Applier) try(ctx context.Context, tx pgx.Tx, run func(context.Context, pgx.Tx) error, done chan<- error) {
	err := errEnded
	defer func() { done <- err }()
	err = a.guarded(ctx, tx, run)
}

// guarded calls the user's code. A panic is a failure; what was thrown may hold the
// payload, so its type is all that is told.
func (a *Applier) guarded(ctx context.Context, tx pgx.Tx, run func(context.Context, pgx.Tx) error) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			a.cfg.Log.ErrorContext(ctx, "handler panicked", slog.String("panic", fmt.Sprintf("%T", thrown)), slog.String("stack", string(debug.Stack())))
			err = omnibox.Transient(fmt.Errorf("handler panicked with a %T", thrown))
		}
	}()
	return readable(run(ctx, tx))
}

// readable gives err, which it has read: that may panic, if it is a nil pointer.
func readable(err error) error {
	if err != nil {
		_ = err.Error()
		_ = omnibox.ClassOf(err)
	}
	return err
}

// marked tells whether an error says itself what is to become of the message.
func marked(err error) bool {
	e, ok := errors.AsType[*omnibox.Error](err)
	return ok && e != nil || isSkip(err)
}

func isSkip(err error) bool {
	_, ok := errors.AsType[*omnibox.SkipError](err)
	return ok
}
