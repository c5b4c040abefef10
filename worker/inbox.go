package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/worker/config"
)

// errNoHandler says how an inbox gets handlers.
var errNoHandler = errors.New("there is no handler: set handler.sql, or give a program's worker a router with worker.Router")

// finder finds the handlers of an inbox: by a router, or in the configuration.
func (o *options) finder(b config.Box) (inbox.Finder, error) {
	router, sql := o.routers[b.Name], b.Inbox.Handler.SQL
	switch {
	case router.router != nil && sql != "":
		return nil, errors.New("it has a router and handler.sql: leave one of them out")
	case sql != "":
		return inbox.SQL(sql), nil
	case router.router == nil:
		return nil, errNoHandler
	}
	routes, err := router.router.Build(router.routed...)
	if err != nil {
		return nil, err
	}
	if b.Inbox.Ack == config.AckExactlyOnce {
		if outside := routes.OutsideTx(); len(outside) > 0 {
			return nil, fmt.Errorf("ack is %s, but these handlers do not run in the completing transaction: %s; register them with inbox.HandleTx, or set ack: %s",
				config.AckExactlyOnce, strings.Join(outside, "; "), config.AckOnSuccess)
		}
	}
	return routes, nil
}

// prepareInbox finds what is wrong with an inbox and its handlers before anything
// runs.
func (b *box) prepareInbox() (err error) {
	b.metrics.landed(b.name, inbox.Landed{}) // so that they are there from the start
	b.breaker = pipeline.NewBreaker(b.name, b.worker.databases[b.cfg.Database].Ping, b.log)
	if b.handlers, err = b.worker.options.finder(b.cfg); err != nil {
		return err
	}
	in := b.cfg.Inbox
	b.applier, err = inbox.NewApplier(b.handlers, b.store, inbox.Config{ // build puts the store in, once it is open
		Concurrency: in.Concurrency, Timeout: in.HandlerTimeout, Batch: b.cfg.Batch, Classes: in.Handler.Classes(), Log: b.log,
		Probe: b.worker.databases[b.cfg.Database].Ping,
	})
	if err != nil {
		return err
	}
	if b.reader, err = broker.NewReader(in.Message.Reader()); err != nil {
		return fmt.Errorf("message: %w", err)
	}
	_, err = b.worker.newConsumer(b.cfg.Broker, in.Subscription()) // dials nothing
	return err
}

// checkStatement asks the database whether it could run the handler.
func (b *box) checkStatement(ctx context.Context) error {
	statement, ok := b.handlers.(*inbox.Statement)
	if !ok {
		return nil
	}
	return statement.Check(ctx, b.worker.databases[b.cfg.Database])
}
