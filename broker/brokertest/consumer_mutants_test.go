package brokertest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/brokertest"
	"github.com/omnibox-go/omnibox/broker/membroker"
)

type (
	handleFunc func(ctx context.Context, poll []broker.Message) error
	// consumerMutant is a consumer in memory that breaks one promise.
	consumerMutant struct {
		*membroker.Consumer
		subscribe func(sub *broker.Subscription)
		run       func(m *consumerMutant, ctx context.Context, handle handleFunc) error
		commit    func(m *consumerMutant, ctx context.Context, done map[broker.Partition]int64) error
		pause     func()
		status    func(s *broker.ConsumerStatus)
		commits   int
		down      bool // the broker, when the consumer was made
	}
)

func (m *consumerMutant) Run(ctx context.Context, handle func(context.Context, []broker.Message) error) error {
	if m.run == nil {
		return m.Consumer.Run(ctx, handle)
	}
	return m.run(m, ctx, handle)
}

func (m *consumerMutant) Commit(ctx context.Context, done map[broker.Partition]int64) error {
	if m.commit == nil {
		return m.Consumer.Commit(ctx, done)
	}
	m.commits++
	return m.commit(m, ctx, done)
}

func (m *consumerMutant) Pause() {
	if m.pause == nil {
		m.Consumer.Pause()
	}
}

func (m *consumerMutant) Status() broker.ConsumerStatus {
	s := m.Consumer.Status()
	if m.status != nil {
		m.status(&s)
	}
	return s
}

// change makes a mutant that changes polls.
func change(f func(poll []broker.Message) []broker.Message) func(m *consumerMutant) {
	return func(m *consumerMutant) {
		m.run = func(m *consumerMutant, ctx context.Context, handle handleFunc) error {
			return m.Consumer.Run(ctx, func(ctx context.Context, poll []broker.Message) error { return handle(ctx, f(poll)) })
		}
	}
}

// consumerMutants by the test that must find them.
var consumerMutants = map[string]func(m *consumerMutant){
	"HandsOutMessagesAsTheyAre": change(func(poll []broker.Message) []broker.Message {
		for i, m := range poll { // a tombstone becomes an empty value
			poll[i].Value = append([]byte{}, m.Value...)
		}
		return poll
	}),
	"TakesLargeMessages": change(func(poll []broker.Message) []broker.Message {
		for i, m := range poll {
			poll[i].Value = m.Value[:min(1<<20, len(m.Value))]
		}
		return poll
	}),
	"KeepsTheOrderOfAPartition": change(func(poll []broker.Message) []broker.Message {
		slices.Reverse(poll)
		return poll
	}),
	"CommitsNothingByItself": func(m *consumerMutant) {
		m.run = func(m *consumerMutant, ctx context.Context, handle handleFunc) error {
			return m.Consumer.Run(ctx, func(ctx context.Context, poll []broker.Message) error {
				for _, p := range poll {
					_ = m.Consumer.Commit(ctx, map[broker.Partition]int64{{Topic: p.Topic, ID: p.Partition}: p.Offset})
				}
				return handle(ctx, poll)
			})
		}
	},
	"GoesOnBehindWhatIsCommitted": func(m *consumerMutant) { // commits the offset itself, not the next one
		m.commit = func(m *consumerMutant, ctx context.Context, done map[broker.Partition]int64) error {
			less := make(map[broker.Partition]int64)
			for p, offset := range done {
				less[p] = offset - 1
			}
			return m.Consumer.Commit(ctx, less)
		}
	},
	"TakesNoCommitBack": func(m *consumerMutant) { // the last word counts
		m.commit = func(m *consumerMutant, ctx context.Context, done map[broker.Partition]int64) error {
			if m.commits == 1 {
				return nil
			}
			return m.Consumer.Commit(ctx, done)
		}
	},
	"BeginsWithTheLatest": func(m *consumerMutant) {
		m.subscribe = func(sub *broker.Subscription) { sub.From = broker.Earliest }
	},
	"EndsWithItsHandler": func(m *consumerMutant) {
		m.run = func(m *consumerMutant, ctx context.Context, handle handleFunc) error {
			_ = m.Consumer.Run(ctx, handle)
			return nil
		}
	},
	"SharesPartitions": func(m *consumerMutant) { // hands out what it had before it lost partitions
		m.run = func(m *consumerMutant, ctx context.Context, handle handleFunc) error {
			var before []broker.Message
			had := 0
			return m.Consumer.Run(ctx, func(ctx context.Context, poll []broker.Message) error {
				has := len(m.Status().Assigned)
				if has < had {
					poll = append(before, poll...)
				}
				before, had = slices.Clone(poll), has
				return handle(ctx, poll)
			})
		}
	},
	"GivesUpNothingThatIsInHand": func(m *consumerMutant) { // does not wait for the handler
		m.run = func(m *consumerMutant, ctx context.Context, handle handleFunc) error {
			polls := make(chan []broker.Message, 100)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for poll := range polls {
					_ = handle(ctx, poll)
				}
			}()
			defer func() {
				close(polls)
				<-ended
			}()
			return m.Consumer.Run(ctx, func(_ context.Context, poll []broker.Message) error {
				polls <- poll
				return nil
			})
		}
	},
	"DropsCommitsOfWhatIsNotIts": func(m *consumerMutant) {
		m.commit = func(m *consumerMutant, ctx context.Context, done map[broker.Partition]int64) error {
			if len(m.Status().Assigned) < len(done) {
				return errors.New("not assigned")
			}
			return m.Consumer.Commit(ctx, done)
		}
	},
	"Pauses": func(m *consumerMutant) { m.pause = func() {} },
	"KnowsWhereItIs": func(m *consumerMutant) {
		m.status = func(s *broker.ConsumerStatus) { s.Assigned = s.Assigned[:min(2, len(s.Assigned))] }
	},
	"GoesOnWithoutAMissingTopic": func(m *consumerMutant) {
		m.status = func(s *broker.ConsumerStatus) { s.Err = nil }
	},
	"WaitsForItsBroker": func(m *consumerMutant) {
		m.run = func(m *consumerMutant, ctx context.Context, handle handleFunc) error {
			if m.down {
				return errors.New("connection refused")
			}
			return m.Consumer.Run(ctx, handle)
		}
	},
}

// Every test of the suite of consumers finds the mutant that breaks its promise.
func TestTheSuiteFindsEveryConsumerMutant(t *testing.T) {
	t.Parallel()
	for name := range consumerMutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^TestConsumerMutant$/^"+name+"$")
			cmd.Env = append(os.Environ(), variable+"="+name)
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "survived:\n%s", out)
			require.Contains(t, string(out), "--- FAIL: TestConsumerMutant/"+name)
			require.NotContains(t, string(out), "panic:")
		})
	}
}

// TestConsumerMutant runs the suite on the mutant that the environment names;
// without one, on a consumer that is whole.
func TestConsumerMutant(t *testing.T) {
	t.Parallel()
	mutate, ok := consumerMutants[os.Getenv(variable)]
	if !ok {
		mutate = func(*consumerMutant) {}
	}
	brokertest.RunConsumers(t, func(t *testing.T) brokertest.ConsumerFeatures {
		t.Helper()
		b := membroker.New()
		require.NoError(t, b.CreateTopic("t", 3))
		return brokertest.ConsumerFeatures{
			Topic: "t", Missing: "missing",
			Consumer: func(t *testing.T, sub broker.Subscription) broker.Consumer {
				t.Helper()
				m := &consumerMutant{}
				mutate(m)
				if m.subscribe != nil {
					m.subscribe(&sub)
				}
				c, err := b.Consumer(sub)
				require.NoError(t, err)
				m.Consumer, m.down = c, c.Status().Err != nil
				return m
			},
			Create:  func(t *testing.T) { t.Helper(); require.NoError(t, b.CreateTopic("missing", 1)) },
			Append:  func(_ *testing.T, messages ...broker.Message) { b.Append(messages...) },
			SetDown: func(_ *testing.T, down bool) { b.SetDown(down) },
		}
	})
}
