package pipeline

import (
	"context"
	"log/slog"
	"time"

	"github.com/omnibox-go/omnibox"
)

const (
	// avoidFor is how long a key is left out whose part of the destination, a
	// topic or a partition, cannot be reached: a handler may wait for it until
	// the lease ends, and all that is handled with it waits too.
	avoidFor = 30 * time.Second
	// pauseFor is the time between calls of which nothing came through, so that
	// a whole backlog of such keys is not tried at once.
	pauseFor = time.Second
)

// avoidUnreachable looks after events that could not reach the destination. If it
// does not answer a probe either, it is down: the breaker opens, and everything
// waits. Else they are released like then, uncounted, and their keys are avoided
// for a while, so that the others get on.
func (d *drain) avoidUnreachable(ctx context.Context, events []*omnibox.Event, errs []error) {
	var keys []omnibox.OrderKey
	var cause string
	through := false
	for i, err := range errs {
		switch class := omnibox.ClassOf(err); {
		case class == omnibox.ClassUnreachable:
			if keys = append(keys, events[i].OrderKey()); len(keys) == 1 {
				cause = Redact(err.Error(), events[i])
			}
		case class != omnibox.ClassCancelled:
			through = true
		}
	}
	if len(keys) == 0 || d.stopped.Err() != nil || !d.Breaker.doubt(ctx, cause) {
		return
	}
	d.hand.avoid(keys, time.Now().Add(avoidFor))
	d.Log.WarnContext(ctx, "destination answers, but not for all: keys are left out for a while",
		slog.Int("keys", len(keys)), slog.String("cause", cause), slog.Duration("for", avoidFor))
	if through {
		return
	}
	pause := time.NewTimer(pauseFor)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-d.stopped.Done():
	}
}
