package inbox_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/inbox"
)

// A handler that ends its goroutine, or never returns, is in the way of no other.
func TestAHandlerThatKeepsItsGoroutineIsInNobodysWay(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]func(released <-chan struct{}){
		"ended": func(<-chan struct{}) { runtime.Goexit() },
		"ended with a panic": func(<-chan struct{}) {
			defer panic("on the way out")
			runtime.Goexit()
		},
		"for good": func(released <-chan struct{}) { <-released },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.cfg.Concurrency, b.cfg.Timeout = 1, time.Second
			released := make(chan struct{})
			t.Cleanup(func() { close(released) })
			b.on(func(_ context.Context, _ pgx.Tx, m inbox.Message[placed]) error {
				if m.Key == "a" {
					keep(released)
				}
				return nil
			})
			events := b.land(t, 1, "a", "b", "c")
			errs := b.handle(t, events)
			require.Error(t, errs[0])
			require.NoError(t, errs[1])
			require.NoError(t, errs[2])
			require.Equal(t, []bool{false, true, true}, b.done(t, events))
		})
	}
}
