package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/bench/lab"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

// runWorker is the whole worker with its defaults, and as many shards as a loop
// has workers, under a Temporal dev server. The clock runs from the first settle
// to the last: how soon a poller notices a backlog is another question.
func runWorker(ctx context.Context, s Setup) (Sample, error) {
	return relayUnderTemporal(ctx, s, "lane: batch", false)
}

// relayUnderTemporal is a relay by a worker in a lane.
func relayUnderTemporal(ctx context.Context, s Setup, lane string, step bool) (_ Sample, err error) {
	temporal, err := s.Lab.Temporal(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, temporal.Close()) }()
	return relay(ctx, s, func(ctx context.Context, b *lab.Box, t *tally) error {
		return runWorkerIn(ctx, b, t, temporal.Address(), lane, step)
	})
}

// runDirect is the whole worker where Temporal cannot be reached.
func runDirect(ctx context.Context, s Setup) (Sample, error) {
	return relay(ctx, s, func(ctx context.Context, b *lab.Box, t *tally) error {
		return runWorkerIn(ctx, b, t, "127.0.0.1:1", "lane: auto, temporal_down: direct", false)
	})
}

// runWorkerIn runs a worker, with more of its configuration, until all events are settled.
func runWorkerIn(ctx context.Context, b *lab.Box, t *tally, temporal, lane string, step bool) error {
	cfg, err := config.Parse("bench", workerConfig(b, temporal, lane), nil)
	if err != nil {
		return err
	}
	count := &counted{tally: t}
	options := []worker.Option{worker.CommitWith("bench", func(s *store.Store) omnibox.CommitStrategy {
		return countedStrategy{CommitStrategy: s, counted: count}
	})}
	if step {
		options = append(options, worker.Step("bench", noop{}))
	}
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(runCtx, cfg, options...) }()
	select {
	case <-t.done:
		stop()
		return <-ended
	case err := <-ended:
		return errors.Join(errors.New("worker ended"), err)
	}
}

func workerConfig(b *lab.Box, temporal, lane string) []byte {
	return fmt.Appendf(nil, `
databases: { main: { url: %q } }
brokers: { kafka: { addresses: ["%s"] } }
outboxes: { bench: { shards: %d, batch: %d, %s } }
temporal: { address: %q, id_prefix: %q }
http: { listen: "off" }
`, b.URL, strings.Join(b.Brokers, `", "`), workers, batch, lane, temporal, b.Topic)
}

// counted tells the clock of a run what has been settled, in whichever lane.
type counted struct {
	tally *tally
	first sync.Once
}

// countedStrategy is a commit strategy that counts.
type countedStrategy struct {
	omnibox.CommitStrategy
	*counted
}

// Commit settles, and counts what was completed.
func (c countedStrategy) Commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	c.first.Do(c.tally.restart)
	if err := c.CommitStrategy.Commit(ctx, outcomes); err != nil {
		return err
	}
	completed := 0
	for _, o := range outcomes {
		if o.Verdict == omnibox.Completed {
			completed++
		}
	}
	c.tally.settled(completed)
	return nil
}
