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
	address, err := s.Lab.Temporal(ctx)
	if err != nil {
		return nil, err
	}
	return relay(ctx, s, func(ctx context.Context, b *lab.Box, t *tally) error {
		cfg, err := config.Parse("bench", workerConfig(b, address), nil)
		if err != nil {
			return err
		}
		runCtx, stop := context.WithCancel(ctx)
		defer stop()
		ended := make(chan error, 1)
		go func() {
			ended <- worker.Run(runCtx, cfg, worker.CommitWith("bench", func(s *store.Store) omnibox.CommitStrategy {
				return &counted{CommitStrategy: s, tally: t}
			}))
		}()
		select {
		case <-t.done:
			stop()
			return <-ended
		case err := <-ended:
			return errors.Join(errors.New("worker ended"), err)
		}
	})
}

func workerConfig(b *lab.Box, temporal string) []byte {
	return fmt.Appendf(nil, `
databases: { main: { url: %q } }
brokers: { kafka: { addresses: ["%s"] } }
outboxes: { bench: { shards: %d, batch: %d } }
temporal: { address: %q, id_prefix: %q }
http: { listen: "off" }
`, b.URL, strings.Join(b.Brokers, `", "`), workers, batch, temporal, b.Topic)
}

// counted is a commit strategy that tells the clock of a run.
type counted struct {
	omnibox.CommitStrategy
	tally *tally
	first sync.Once
}

// Commit settles, and counts what was completed.
func (c *counted) Commit(ctx context.Context, outcomes []omnibox.Outcome) error {
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
