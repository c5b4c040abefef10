package pipeline

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/omnibox-go/omnibox"
)

// Config of a Pipeline. Fetch, Commit and Handler are required.
type Config struct {
	// Name of the pipeline, in logs and metrics.
	Name   string
	Fetch  omnibox.FetchStrategy
	Commit omnibox.CommitStrategy
	// Lane lets events have workflows of their own; nil for none.
	Lane Lane
	// Escalate is told of settled failures that are to get a workflow
	// (omnibox.Event.Escalated), if set. It must not block for long.
	Escalate func(ctx context.Context, failed []omnibox.Outcome)
	// Steps run before the handler, in this order. Those that are Finishers
	// too learn of each outcome.
	Steps []Step
	// StepTimeout bounds a run of a step that names no timeout. Defaults to
	// DefaultStepTimeout.
	StepTimeout time.Duration
	// Finishers learn of each outcome without being steps.
	Finishers []Finisher
	Handler   Handler
	// LaneHandler handles the events of the workflow lane, if that takes another,
	// since there a lease is of the event and not of its slot. Defaults to Handler.
	LaneHandler Handler
	// Bounded says that the handler itself ends what takes too long. Then its
	// context lasts for as long as the lease can be extended. Else, in the batch
	// lane, it ends when the lease would have ended that there was at the beginning
	// of the call: a publisher tries until then what it cannot reach, and everything
	// that was given to it together waits.
	Bounded bool
	// Breaker of the handler's destination; pipelines with the same
	// destination share it. Defaults to one of its own.
	Breaker *Breaker
	Retry   Retry
	// Batch is how many events are fetched, handled and settled together.
	// Defaults to 500.
	Batch int
	// Lease is how long a claim lasts; it is extended at a third of it.
	// Defaults to 15 s.
	Lease time.Duration
	// Ending, if set, is closed shortly before the process ends. It ends the contexts
	// of steps and handlers: what they do not come to the end of is released, and not
	// counted as a delivery that ended the process.
	Ending <-chan struct{}
	Log    *slog.Logger
}

// Pipeline moves the events of one box. It is safe for concurrent use: several
// drains of different slots run at once.
type Pipeline struct {
	Config
	steps     []step
	finishers []Finisher
	carried   carried
	lull      lull
}

// Defaults of a Config.
const (
	DefaultBatch = 500
	DefaultLease = 15 * time.Second
)

// New builds a pipeline.
func New(cfg Config) *Pipeline {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Batch == 0 {
		cfg.Batch = DefaultBatch
	}
	if cfg.Lease == 0 {
		cfg.Lease = DefaultLease
	}
	if cfg.Breaker == nil {
		cfg.Breaker = NewBreaker(cfg.Name, cfg.Handler.Probe, cfg.Log)
	}
	if cfg.StepTimeout == 0 {
		cfg.StepTimeout = DefaultStepTimeout
	}
	if cfg.LaneHandler == nil {
		cfg.LaneHandler = cfg.Handler
	}
	cfg.Handler = &guarded{Handler: cfg.Handler, log: cfg.Log}
	cfg.LaneHandler = &guarded{Handler: cfg.LaneHandler, log: cfg.Log}
	p := &Pipeline{Config: cfg, finishers: slices.Clone(cfg.Finishers)}
	for _, s := range cfg.Steps {
		p.steps = append(p.steps, newStep(s, cfg.StepTimeout, cfg.Log))
		if f, ok := s.(Finisher); ok {
			p.finishers = append(p.finishers, f)
		}
	}
	return p
}
