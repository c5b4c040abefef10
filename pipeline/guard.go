package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/omnibox-go/omnibox"
)

// guarded keeps what a handler does wrong from ending the process: a panic and
// a wrong number of errors are failures of events.
type guarded struct {
	Handler
	log *slog.Logger
}

// Handle returns one error for each event, whatever the handler does. A panic
// over several events blames none: they are handled again one at a time, in
// order. Some of them may have been handled before.
func (g *guarded) Handle(ctx context.Context, events []*omnibox.Event) []error {
	errs, panicked := g.try(ctx, events)
	if panicked == nil {
		return errs
	}
	if len(events) == 1 {
		return []error{panicked}
	}
	errs = make([]error, len(events))
	failed := map[omnibox.OrderKey]bool{}
	for i, e := range events {
		if failed[e.OrderKey()] || ctx.Err() != nil {
			errs[i] = omnibox.ErrNotSent
			continue
		}
		one, panicked := g.try(ctx, events[i:i+1])
		if errs[i] = panicked; panicked == nil {
			errs[i] = one[0]
		}
		failed[e.OrderKey()] = errs[i] != nil
	}
	return errs
}

// try calls the handler, and gives the failure that its panic is.
func (g *guarded) try(ctx context.Context, events []*omnibox.Event) (errs []error, panicked error) {
	defer func() {
		if r := recover(); r != nil {
			panicked = g.panicked(ctx, r)
		}
	}()
	errs = g.Handler.Handle(ctx, events)
	for i, err := range errs {
		errs[i] = g.readable(ctx, err)
	}
	if n := len(errs); n != len(events) {
		g.log.ErrorContext(ctx, "handler returned a wrong number of errors", slog.Int("events", len(events)), slog.Int("errors", n))
		for len(errs) < len(events) {
			errs = append(errs, omnibox.Transient(fmt.Errorf("handler returned %d errors for %d events", n, len(events))))
		}
	}
	return errs[:len(events)], nil
}

// readable gives err, or what its text came to if asking for it panics: it is a
// nil pointer, say.
func (g *guarded) readable(ctx context.Context, err error) (out error) {
	if err == nil {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			out = g.panicked(ctx, r)
		}
	}()
	_ = err.Error()
	return err
}

// panicked logs what was thrown. It may hold a payload: its type is all that is
// told.
func (g *guarded) panicked(ctx context.Context, thrown any) error {
	g.log.ErrorContext(ctx, "handler panicked", slog.String("panic", fmt.Sprintf("%T", thrown)), slog.String("stack", string(debug.Stack())))
	return omnibox.Transient(fmt.Errorf("handler panicked with a %T", thrown))
}
