package worker

import (
	"fmt"
	"log/slog"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/inbox"
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
	consumers  map[string]func(broker.Subscription) (broker.Consumer, error)
	routers    map[string]routing
	fetch      map[string]func(*store.Store) omnibox.FetchStrategy
	commit     map[string]func(*store.Store) omnibox.CommitStrategy
}

func collect(opts []Option) *options {
	o := &options{
		log:        slog.Default(),
		steps:      map[string][]pipeline.Step{},
		converters: map[string]broker.Converter{},
		publishers: map[string]broker.Publisher{},
		consumers:  map[string]func(broker.Subscription) (broker.Consumer, error){},
		routers:    map[string]routing{},
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

// Consumer takes the place of the consumers of the broker called name in the
// configuration. It is called for each one that is run.
func Consumer(brokerName string, c func(broker.Subscription) (broker.Consumer, error)) Option {
	return func(o *options) { o.consumers[brokerName] = c }
}

// routing is a router, and what it must have a handler for.
type routing struct {
	router *inbox.Router
	routed []inbox.Route
}

// Router gives an inbox its handlers. The worker does not start unless there is
// one for each of routed, which is what the program knows to get.
func Router(pipelineName string, r *inbox.Router, routed ...inbox.Route) Option {
	return func(o *options) { o.routers[pipelineName] = routing{router: r, routed: routed} }
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
	for _, name := range keys(o.converters) {
		if _, ok := cfg.Outboxes[name]; !ok {
			return fmt.Errorf("converter for pipeline %q: it is an inbox, and publishes nothing", name)
		}
	}
	for _, name := range keys(o.routers) {
		if _, ok := cfg.Inboxes[name]; !ok {
			return fmt.Errorf("router for inbox %q, which is not in the configuration (there are: %v)", name, keys(cfg.Inboxes))
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
	for _, name := range append(keys(o.publishers), keys(o.consumers)...) {
		if _, ok := cfg.Brokers[name]; !ok {
			return fmt.Errorf("option for broker %q, which is not in the configuration (there are: %v)", name, keys(cfg.Brokers))
		}
	}
	return nil
}
