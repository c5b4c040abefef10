package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/dev/bench/lab"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
)

// handleRatio is what fences, time limits and order may cost where handlers write:
// at most 20%.
const handleRatio = 0.8

// handlings give the messages of an inbox to handlers.
func handlings() []Variant {
	return []Variant{
		{
			Name: "handle-tx-loop", Title: "a transaction a message: plain loop",
			run: runHandling(txTimes, true, txLoop),
		},
		{
			Name: "handle-tx", Title: "handlers in the completing transaction", Against: "handle-tx-loop",
			Goals: []Goal{{Figure: Rate, AtLeast: handleRatio}}, run: runHandling(txTimes, true, handler(handleTx)),
		},
		{
			Name: "handle-batch-loop", Title: fmt.Sprintf("a transaction for %d messages: plain loop", batch),
			run: runHandling(batchTimes, true, batchLoop),
		},
		{
			Name: "handle-batch", Title: "batch handler", Against: "handle-batch-loop",
			Goals: []Goal{{Figure: Rate, AtLeast: handleRatio}}, run: runHandling(batchTimes, true, handler(handleBatch)),
		},
		{
			Name: "handle", Title: "at-least-once handler that does nothing", Against: "handle-batch-loop",
			run: runHandling(batchTimes, false, handler(handleNothing)),
		},
	}
}

// Of the events, runs of a transaction for each take a part, and those of a
// transaction for many take more: else they would be over within two seconds.
const txTimes, batchTimes = 0.2, 2.0

// runHandling fills an inbox with some times the events, and has it worked off.
func runHandling(times float64, effects bool, work func(context.Context, *lab.Box, *tally) error) func(context.Context, Setup) (Sample, error) {
	return func(ctx context.Context, s Setup) (_ Sample, err error) {
		b, err := s.Lab.Box(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, b.Close(ctx)) }()
		messages := int(times * float64(s.Events))
		if err := b.FillInbox(ctx, messages); err != nil {
			return nil, err
		}
		before, t := s.Lab.Usage(), newTally(messages)
		if err := work(ctx, b, t); err != nil {
			return nil, err
		}
		return t.sample(s.Lab, before, func() error { return b.VerifyHandled(ctx, messages, effects) })
	}
}

// content of a message.
type content struct {
	N   int
	Pad string
}

const insertEffect = "insert into effects (message_id, key, n) values ($1, $2, $3)"

func handleTx(r *inbox.Router) {
	inbox.HandleTx(r, lab.Source, "order.placed", "", func(ctx context.Context, tx pgx.Tx, m inbox.Message[content]) error {
		_, err := tx.Exec(ctx, insertEffect, m.MessageID, m.Key, m.Payload.N)
		return err
	})
}

func handleBatch(r *inbox.Router) {
	inbox.HandleBatch(r, lab.Source, "order.placed", "", func(ctx context.Context, tx pgx.Tx, all []inbox.Message[content]) error {
		var e effects
		for _, m := range all {
			e.add(m.MessageID, m.Key, m.Payload.N)
		}
		return e.insert(ctx, tx)
	})
}

func handleNothing(r *inbox.Router) {
	inbox.Handle(r, lab.Source, "order.placed", "", func(context.Context, inbox.Message[content]) error { return nil })
}

// effects of many messages.
type effects struct {
	messageIDs, keys []string
	numbers          []int32
}

func (e *effects) add(messageID, key string, n int) {
	e.messageIDs, e.keys, e.numbers = append(e.messageIDs, messageID), append(e.keys, key), append(e.numbers, int32(n))
}

func (e *effects) insert(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "insert into effects (message_id, key, n) select * from unnest($1::text[], $2::text[], $3::int[])",
		e.messageIDs, e.keys, e.numbers)
	return err
}

// handler works an inbox off as the worker does it, by as many drains as a loop
// has workers.
func handler(register func(*inbox.Router)) func(context.Context, *lab.Box, *tally) error {
	return func(ctx context.Context, b *lab.Box, t *tally) error {
		p, err := applying(ctx, b, register)
		if err != nil {
			return err
		}
		var all sync.WaitGroup
		errs := make([]error, workers)
		for n := range workers {
			all.Go(func() { errs[n] = drain(ctx, p, activities.ShardSlots(n, workers), t) })
		}
		all.Wait()
		return errors.Join(errs...)
	}
}

// applying is a pipeline of an inbox, put together as the worker does it.
func applying(ctx context.Context, b *lab.Box, register func(*inbox.Router)) (*pipeline.Pipeline, error) {
	st, err := store.Open(ctx, b.DB, store.Config{Owner: "bench", Group: b.Topic})
	if err != nil {
		return nil, err
	}
	router := inbox.NewRouter()
	register(router)
	routes, err := router.Build()
	if err != nil {
		return nil, err
	}
	applier, err := inbox.NewApplier(routes, st, inbox.Config{Batch: batch, Log: quiet, Probe: b.DB.Ping})
	if err != nil {
		return nil, err
	}
	return pipeline.New(pipeline.Config{
		Name: "bench", Fetch: st, Commit: st, Batch: batch, Handler: applier, Bounded: true,
		Finishers: []pipeline.Finisher{newCounter()},
	}), nil
}
