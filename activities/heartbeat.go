package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/omnibox-go/omnibox/pipeline"
)

// heartbeats records details now and then until the returned function is
// called, which waits for the goroutine.
func heartbeats(ctx context.Context, details func() any) (stop func()) {
	stopped := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(heartbeatEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				activity.RecordHeartbeat(ctx, details())
			case <-stopped:
				return
			}
		}
	})
	return func() { close(stopped); wg.Wait() }
}

// atomicCounts carries the counts from the drain to the heartbeat.
type atomicCounts struct {
	mu     sync.Mutex
	counts pipeline.Counts
}

func (a *atomicCounts) store(c pipeline.Counts) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts = c
}

func (a *atomicCounts) load() pipeline.Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts
}
