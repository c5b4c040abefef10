package activities

import (
	"context"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
)

// Consumers is the family of activities that bring messages into an inbox.
type Consumers struct {
	// Database identifies the database that the inbox's table is in.
	Database string
	// Members is how many consumers there are, over all workers.
	Members int
	// Slice is how long one Consume goes on at most: as the group is balanced anew
	// when it ends, long.
	Slice time.Duration
	// Run is a consumer: it lands messages until ctx ends, and tells of every poll
	// how many messages it had.
	Run func(ctx context.Context, landed func(messages int)) error
}

// Consumer says for whom an activity works.
type Consumer struct {
	Member int `json:"member"`
	// Database is the identity of the database that the consumer was started for.
	Database string `json:"database"`
}

// ConsumeIn asks for messages to be landed.
type ConsumeIn struct {
	Consumer
}

// ConsumeOut is what was done.
type ConsumeOut struct {
	// Gone says that there are fewer consumers now: this one ends.
	Gone bool `json:"gone"`
	// Landed is how many messages were consumed, those included that were in the
	// table already.
	Landed int64 `json:"landed"`
}

// Consume lands messages for as long as the worker runs, for Slice at most. It
// leaves the group in order before it returns.
func (c *Consumers) Consume(ctx context.Context, in ConsumeIn) (ConsumeOut, error) {
	if in.Database != c.Database {
		return ConsumeOut{}, fail(&WrongDatabaseError{Poller: in.Database, Worker: c.Database})
	}
	if in.Member >= c.Members {
		return ConsumeOut{Gone: true}, nil
	}
	var landed atomic.Int64
	defer heartbeats(ctx, func() any { return landed.Load() })()
	runCtx, stop := context.WithTimeout(ctx, c.Slice)
	defer stop()
	go func() {
		select {
		case <-activity.GetWorkerStopChannel(ctx):
			stop()
		case <-runCtx.Done():
		}
	}()
	err := c.Run(runCtx, func(messages int) { landed.Add(int64(messages)) })
	if ctx.Err() == nil && runCtx.Err() != nil {
		err = nil // its time is up, or the worker stops: what it lands no more, another does
	}
	return ConsumeOut{Landed: landed.Load()}, fail(err)
}
