package pipeline_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
)

// brokenError is one whose nil pointer cannot be read.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }

// Errors that are none, or cannot be read, are no reason for the worker to end.
func TestErrorsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err      error
		attempts int
	}{
		"a mark on no error": {omnibox.Permanent(nil), 0},
		"no cause":           {&omnibox.Error{Class: omnibox.ClassTransient}, 1},
		"a nil mark":         {(*omnibox.Error)(nil), 1},
		"a nil error":        {(*brokenError)(nil), 1},
	} {
		for place, fail := range map[string]func(b *bed){
			"step": func(b *bed) { b.failing("a", 1, 1, c.err) },
			"handler": func(b *bed) {
				b.cfg.Handler = handleFunc(func(_ context.Context, events []*omnibox.Event) []error { return make([]error, len(events)) })
				if c.err != nil {
					b.cfg.Handler = handleFunc(func(context.Context, []*omnibox.Event) []error { return []error{c.err} })
				}
			},
		} {
			t.Run(name+" of a "+place, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBed()
					e := b.enqueue(1, 1, "a")[0]
					fail(b)
					b.drain(t)
					require.Equal(t, c.attempts, b.row(t, e.ID).Attempts)
					if c.attempts > 0 {
						require.NotEmpty(t, b.row(t, e.ID).LastError)
					}
				})
			})
		}
	}
}

// A handler that panics over one event fails that one; those that were handled
// together with it are handled again, alone and in order.
func TestPanicOfAHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		var log bytes.Buffer
		b.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		b.cfg.Handler = handleFunc(func(ctx context.Context, events []*omnibox.Event) []error {
			for _, e := range events {
				if e.Key == "a" && number(e) == 3 && e.Attempts == 0 {
					panic(fmt.Sprintf("cannot use %s of %s", e.Payload, secret))
				}
			}
			return b.sink.Handle(ctx, events)
		})
		events := b.enqueue(1, 5, "a", "b")
		b.drain(t)
		require.Equal(t, upTo(2), b.sent("a"))
		require.Equal(t, upTo(5), b.sent("b"))
		for i, e := range events {
			r := b.row(t, e.ID)
			if e.Key == "a" && i/2 == 2 {
				require.Equal(t, 1, r.Attempts)
				require.Equal(t, "handler panicked with a string", r.LastError)
			} else {
				require.Zero(t, r.Attempts)
			}
		}
		require.Contains(t, log.String(), "handler panicked")
		require.NotContains(t, log.String(), secret)
	})
}

// What a handler says nothing of has failed: it is counted, so that it does not
// come again for ever, and later events of its key are not.
func TestHandlerThatReturnsAWrongNumberOfErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		errs     []error
		attempts []int // of a1, b1, a2, b2
	}{
		"none": {nil, []int{1, 1, 0, 0}},
		"few":  {[]error{nil, nil, nil}, []int{0, 0, 0, 1}},
		"more": {[]error{nil, nil, nil, nil, errBad}, []int{0, 0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				b.cfg.Handler = handleFunc(func(context.Context, []*omnibox.Event) []error { return c.errs })
				events := b.enqueue(1, 2, "a", "b")
				b.drain(t)
				for i, e := range events {
					r := b.row(t, e.ID)
					require.Equal(t, c.attempts[i], r.Attempts)
					if c.attempts[i] > 0 {
						require.Equal(t, fmt.Sprintf("handler returned %d errors for 4 events", len(c.errs)), r.LastError)
					}
				}
			})
		})
	}
}
