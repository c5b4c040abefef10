package pipeline_test

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/membroker"
	"github.com/omnibox-go/omnibox/pipeline"
)

// BenchmarkDrain is what the pipeline itself costs: an operation is one event,
// from a store that costs nothing to a broker in memory.
func BenchmarkDrain(b *testing.B) {
	next := func(context.Context, *omnibox.Event) (pipeline.Result, error) { return pipeline.Next, nil }
	for name, steps := range map[string][]pipeline.Step{
		"no steps":  nil,
		"two steps": {stepFunc{pipeline.Spec{Name: "a"}, next}, stepFunc{pipeline.Spec{Name: "b"}, next}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			s := &source{left: b.N}
			p := pipeline.New(pipeline.Config{
				Name: "bench", Fetch: s, Commit: s, Steps: steps, Handler: broker.NewSink(membroker.New(), broker.Raw{}),
			})
			d := order()
			d.Linger = 0
			report, err := p.Drain(b.Context(), d)
			if err != nil || report.Completed != int64(b.N) {
				b.Fatal(report, err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// source is a store that makes events up and keeps no outcome.
type source struct{ left int }

func (s *source) Claim(context.Context, []int) (omnibox.Claim, error) { return s, nil }
func (s *source) Slots() []int                                        { return all() }
func (s *source) Deadline() time.Time                                 { return time.Now().Add(time.Minute) }
func (s *source) Rewind(...int)                                       {}
func (s *source) Extend(context.Context) error                        { return nil }
func (s *source) Release(context.Context) error                       { return nil }

func (s *source) Mark(context.Context, []*omnibox.Event) error    { return nil }
func (s *source) Commit(context.Context, []omnibox.Outcome) error { return nil }

func (s *source) Fetch(_ context.Context, n int) ([]omnibox.Event, bool, error) {
	n = min(n, s.left)
	events := make([]omnibox.Event, n)
	for i := range events {
		events[i] = omnibox.Event{
			ID: uuid.New(), Topic: topic, Key: strconv.Itoa(i % 100), Type: "order.placed", Payload: json.RawMessage(`{"total":"12.50"}`),
			MaxAttempts: omnibox.DefaultMaxAttempts,
		}
	}
	s.left -= n
	return events, s.left > 0, nil
}
