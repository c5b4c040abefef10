package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/dev/bench/lab"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
)

// laneRatio is what fences, steps and order may cost: at most 15%.
const laneRatio = 0.85

// directRatio is what a worker that has lost Temporal delivers, of the batch lane.
const directRatio = 0.8

// lanes are the batch lane, as the worker's drain activity runs it.
func lanes() []Variant {
	return []Variant{
		{
			Name: "lane", Title: "batch lane", Against: "update-loop",
			Goals: []Goal{{Figure: Rate, AtLeast: laneRatio}}, run: runLane(lane{onComplete: "keep"}),
		},
		{
			Name: "lane-step", Title: "batch lane, with a user's step", Against: "update-loop",
			Goals: []Goal{{Figure: Rate, AtLeast: laneRatio}}, run: runLane(lane{onComplete: "keep", step: true}),
		},
		{
			Name: "lane-delete", Title: "batch lane that deletes", Against: "delete-loop",
			Goals: []Goal{{Figure: Rate, AtLeast: laneRatio}}, run: runLane(lane{onComplete: "delete"}),
		},
		{
			Name: "worker", Title: "the whole worker, two pollers under Temporal", Against: "update-loop",
			Goals: []Goal{{Figure: Rate, AtLeast: laneRatio}}, run: runWorker,
		},
		{
			Name: "worker-direct", Title: "the whole worker while Temporal is down (temporal_down: direct)", Against: "lane",
			Goals: []Goal{{Figure: Rate, AtLeast: directRatio}}, run: runDirect,
		},
	}
}

// lane is a way to configure the batch lane.
type lane struct {
	onComplete string
	step       bool
}

// runLane fills a box and has as many drains as a loop has workers empty it.
func runLane(l lane) func(context.Context, Setup) (Sample, error) {
	return func(ctx context.Context, s Setup) (Sample, error) {
		return relay(ctx, s, func(ctx context.Context, b *lab.Box, t *tally) error {
			p, stop, err := l.pipeline(ctx, b)
			if err != nil {
				return err
			}
			defer stop()
			var all sync.WaitGroup
			errs := make([]error, workers)
			for n := range workers {
				all.Go(func() { errs[n] = drain(ctx, p, activities.ShardSlots(n, workers), t) })
			}
			all.Wait()
			return errors.Join(errs...)
		})
	}
}

// drain works off what is there, until all drains together have done it.
func drain(ctx context.Context, p *pipeline.Pipeline, slots []int, t *tally) error {
	var before int64
	report, err := p.Drain(ctx, pipeline.Drain{
		Slots: slots, Slice: time.Hour, Linger: time.Hour, Stop: t.done,
		Wake: func(ctx context.Context) ([]int, error) { <-ctx.Done(); return nil, ctx.Err() },
		Count: func(c pipeline.Counts) {
			t.settled(int(c.Completed - before))
			before = c.Completed
		},
	})
	if err == nil && report.Reason != pipeline.Stopped {
		return fmt.Errorf("drain ended: %s", report.Reason)
	}
	return err
}

// pipeline is put together as the worker does it.
func (l lane) pipeline(ctx context.Context, b *lab.Box) (_ *pipeline.Pipeline, stop func(), err error) {
	st, err := store.Open(ctx, b.DB, store.Config{Owner: "bench", OnComplete: l.onComplete})
	if err != nil {
		return nil, nil, err
	}
	publisher, err := kafka.Dial(kafka.Config{Addresses: b.Brokers}, quiet)
	if err != nil {
		return nil, nil, err
	}
	cfg := pipeline.Config{
		Name: "bench", Fetch: st, Commit: st, Batch: batch,
		Handler:   broker.NewSink(publisher, broker.Raw{}),
		Finishers: []pipeline.Finisher{newCounter()},
	}
	if l.step {
		cfg.Steps = []pipeline.Step{noop{}}
	}
	return pipeline.New(cfg), func() { publisher.Close() }, nil
}

// noop is a step that costs nothing but being run.
type noop struct{}

func (noop) Spec() pipeline.Spec { return pipeline.Spec{Name: "noop"} }

func (noop) Run(context.Context, *omnibox.Event) (pipeline.Result, error) { return pipeline.Next, nil }

// counter is a finisher that does what the worker's metrics do.
type counter struct {
	events  prometheus.Counter
	seconds prometheus.Histogram
}

func newCounter() *counter {
	return &counter{
		events:  prometheus.NewCounter(prometheus.CounterOpts{Name: "events_total"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "seconds"}),
	}
}

// Finish counts an event.
func (c *counter) Finish(_ context.Context, _ omnibox.Outcome, took time.Duration) {
	c.events.Inc()
	c.seconds.Observe(took.Seconds())
}

// publisherSender sends the rows of a raw loop through broker/kafka.
func publisherSender(b *lab.Box) (send, func(), error) {
	publisher, err := kafka.Dial(kafka.Config{Addresses: b.Brokers}, quiet)
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, rows []row) error {
		records := make([]broker.Record, len(rows))
		for i, r := range rows {
			records[i] = broker.Record{
				Topic: r.topic, Key: []byte(r.key), Value: r.payload,
				Headers: []broker.Header{{Key: "event_id", Value: []byte(r.id.String())}, {Key: "event_type", Value: []byte(r.event)}},
			}
		}
		return errors.Join(publisher.Publish(ctx, records)...)
	}, func() { publisher.Close() }, nil
}

// quiet is for what logs.
var quiet = slog.New(slog.DiscardHandler)
