package worker

import (
	"fmt"
	"log/slog"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

// Option adds to a worker what configuration cannot say: code.
type Option func(*options)

type options struct {
	log        *slog.Logger
	steps      map[string][]pipeline.Step
	converters map[string]broker.Converter
	publishers map[string]broker.Publisher
	fetch      map[string]func(*store.Store) omnibox.FetchStrategy
	commit     map[string]func(*store.Store) omnibox.CommitStrategy
}

func collect(opts []Option) *options {
	o := &options{
		log:        slog.Default(),
		steps:      map[string][]pipeline.Step{},
		converters: map[string]broker.Converter{},
		publishers: map[string]broker.Publisher{},
		fetch:      map[string]func(*store.Store) omnibox.FetchStrategy{},
		commit:     map[string]func(*store.Store) omnibox.CommitStrategy{},
	}
	for _, opt := range opts {
		opt(o)
	}
	return o
}

// Step adds steps to a pipeline, behind the built-in ones and before the
// handler, in the order given.
func Step(pipelineName string, steps ...pipeline.Step) Option {
	return func(o *options) { o.steps[pipelineName] = append(o.steps[pipelineName], steps...) }
}

// Converter makes a pipeline's messages, instead of the configured one.
func Converter(pipelineName string, c broker.Converter) Option {
	return func(o *options) { o.converters[pipelineName] = c }
}

// Publisher takes the place of the broker called name in the configuration.
// The worker closes it at the end.
func Publisher(brokerName string, p broker.Publisher) Option {
	return func(o *options) { o.publishers[brokerName] = p }
}

// FetchWith gives a pipeline its own fetch strategy, made from the stock one.
func FetchWith(pipelineName string, strategy func(*store.Store) omnibox.FetchStrategy) Option {
	return func(o *options) { o.fetch[pipelineName] = strategy }
}

// CommitWith gives a pipeline its own commit strategy, made from the stock one.
func CommitWith(pipelineName string, strategy func(*store.Store) omnibox.CommitStrategy) Option {
	return func(o *options) { o.commit[pipelineName] = strategy }
}

// Log is where the worker writes: what it waits for, what failed, what it gave up.
// Defaults to slog.Default, as that is when the worker is made;
// slog.New(slog.DiscardHandler) silences it.
func Log(log *slog.Logger) Option {
	return func(o *options) { o.log = log }
}

// check refuses options for what the configuration does not have.
func (o *options) check(cfg *config.Config) error {
	for _, names := range [][]string{keys(o.steps), keys(o.converters), keys(o.fetch), keys(o.commit)} {
		for _, name := range names {
			if _, ok := cfg.Box(name); !ok {
				return fmt.Errorf("option for pipeline %q, which is not in the configuration (there are: %v)", name, append(keys(cfg.Outboxes), keys(cfg.Inboxes)...))
			}
		}
	}
	for name, steps := range o.steps {
		var names []string
		for _, s := range steps {
			names = append(names, s.Spec().Name)
		}
		if err := workflows.CheckSteps(names); err != nil {
			return fmt.Errorf("steps of pipeline %s: %w", name, err)
		}
	}
	for _, name := range keys(o.publishers) {
		if _, ok := cfg.Brokers[name]; !ok {
			return fmt.Errorf("option for broker %q, which is not in the configuration (there are: %v)", name, keys(cfg.Brokers))
		}
	}
	return nil
}
