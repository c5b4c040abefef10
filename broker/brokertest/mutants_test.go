package brokertest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/brokertest"
	"github.com/omnibox-go/omnibox/broker/membroker"
)

// mutant is a broker in memory that breaks one promise.
type mutant struct {
	*membroker.Broker
	publish func(m *mutant, ctx context.Context, records []broker.Record) []error
	probe   func() error
	calls   atomic.Int64
	closed  atomic.Bool
}

func (m *mutant) Publish(ctx context.Context, records []broker.Record) []error {
	if m.publish == nil {
		return m.Broker.Publish(ctx, records)
	}
	return m.publish(m, ctx, records)
}

func (m *mutant) Probe(ctx context.Context) error {
	if m.probe == nil {
		return m.Broker.Probe(ctx)
	}
	return m.probe()
}

func (m *mutant) Close() error {
	m.closed.Store(true)
	return m.Broker.Close()
}

// mutants by the test that must find them.
var mutants = map[string]func(m *mutant){
	"SendsRecordsAsTheyAre": func(m *mutant) {
		m.publish = func(m *mutant, ctx context.Context, records []broker.Record) []error {
			records = slices.Clone(records)
			for i := range records {
				records[i].Headers = nil
			}
			return m.Broker.Publish(ctx, records)
		}
	},
	"NoRecordsNoErrors": func(m *mutant) {
		m.publish = func(m *mutant, ctx context.Context, records []broker.Record) []error {
			if len(records) == 0 {
				return []error{nil}
			}
			return m.Broker.Publish(ctx, records)
		}
	},
	"KeepsTheOrderOfAKey": func(m *mutant) {
		m.publish = func(m *mutant, ctx context.Context, records []broker.Record) []error {
			records = slices.Clone(records)
			slices.Reverse(records)
			errs := m.Broker.Publish(ctx, records)
			slices.Reverse(errs)
			return errs
		}
	},
	"TakesCallsAtTheSameTime": func(m *mutant) {
		m.SetDelay(time.Millisecond)
		m.publish = func(m *mutant, ctx context.Context, records []broker.Record) []error {
			defer m.calls.Add(-1)
			if m.calls.Add(1) > 1 {
				return slices.Repeat([]error{omnibox.ErrNotSent}, len(records))
			}
			return m.Broker.Publish(ctx, records)
		}
	},
	"RefusesOneRecordAlone": func(m *mutant) { // a refused batch is refused as a whole
		m.publish = func(m *mutant, ctx context.Context, records []broker.Record) []error {
			for _, r := range records {
				if string(r.Value) == "refuse me" {
					return slices.Repeat([]error{omnibox.Permanent(errors.New("refused"))}, len(records))
				}
			}
			return m.Broker.Publish(ctx, records)
		}
	},
	"SendsNothingBehindAFailure": func(m *mutant) {
		m.publish = func(m *mutant, ctx context.Context, records []broker.Record) []error {
			var errs []error
			for _, r := range records {
				errs = append(errs, m.Broker.Publish(ctx, []broker.Record{r})...)
			}
			return errs
		}
	},
	"BlamesNoRecordForAnOutage": func(m *mutant) {
		m.publish = func(m *mutant, ctx context.Context, records []broker.Record) []error {
			errs := m.Broker.Publish(ctx, records)
			for i, err := range errs {
				if omnibox.ClassOf(err) == omnibox.ClassUnreachable {
					errs[i] = errors.New("timeout")
				}
			}
			return errs
		}
	},
	"WaitsForTheBroker": func(m *mutant) {
		m.publish = func(m *mutant, ctx context.Context, records []broker.Record) []error {
			if err := m.Broker.Probe(ctx); err != nil {
				return slices.Repeat([]error{err}, len(records))
			}
			return m.Broker.Publish(ctx, records)
		}
	},
	"SendsNothingAfterTheDeadline": func(m *mutant) {
		m.publish = func(m *mutant, ctx context.Context, records []broker.Record) []error {
			if ctx.Err() != nil {
				m.Broker.Publish(context.WithoutCancel(ctx), records)
			}
			return m.Broker.Publish(ctx, records)
		}
	},
	"SaysSentOfWhatIsThereOnly": func(m *mutant) {
		m.SetDelay(time.Millisecond)
		m.publish = func(m *mutant, ctx context.Context, records []broker.Record) []error {
			errs := m.Broker.Publish(ctx, records)
			if ctx.Err() != nil {
				clear(errs)
			}
			return errs
		}
	},
	"CallsWhatIsUnknownUnknown": func(m *mutant) {
		m.publish = func(m *mutant, ctx context.Context, records []broker.Record) []error {
			errs := m.Broker.Publish(ctx, records)
			if ctx.Err() == nil {
				for i, err := range errs {
					if omnibox.ClassOf(err) == omnibox.ClassUnreachable {
						errs[i] = nil
					}
				}
			}
			return errs
		}
	},
	"ProbesTheBroker": func(m *mutant) { m.probe = func() error { return nil } },
	"CloseWaitsForCalls": func(m *mutant) {
		m.SetDelay(time.Millisecond)
		m.publish = func(m *mutant, ctx context.Context, records []broker.Record) []error {
			errs := m.Broker.Publish(ctx, records)
			if m.closed.Load() {
				for i := range errs {
					errs[i] = omnibox.Unreachable(errors.New("connection closed"))
				}
			}
			return errs
		}
	},
}

const variable = "OMNIBOX_BROKERTEST_MUTANT"

// Every test of the suite finds the mutant that breaks its promise.
func TestTheSuiteFindsEveryMutant(t *testing.T) {
	t.Parallel()
	for name := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^TestMutant$/^"+name+"$")
			cmd.Env = append(os.Environ(), variable+"="+name)
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "survived:\n%s", out)
			require.Contains(t, string(out), "--- FAIL: TestMutant/"+name)
		})
	}
}

// TestMutant runs the suite on the mutant that the environment names; without
// one, on a broker that is whole.
func TestMutant(t *testing.T) {
	t.Parallel()
	mutate, ok := mutants[os.Getenv(variable)]
	if !ok {
		mutate = func(*mutant) {}
	}
	brokertest.Run(t, func(*testing.T) brokertest.Features {
		m := &mutant{Broker: membroker.New()}
		m.SetRefuse(func(r broker.Record) error {
			if string(r.Value) == "refuse me" {
				return errors.New("refused")
			}
			return nil
		})
		mutate(m)
		return brokertest.Features{
			Publisher: m, Topic: "t",
			Read: func(*testing.T) []broker.Record { return m.Records("t") },
			Refused: func(key string) broker.Record {
				return broker.Record{Topic: "t", Key: []byte(key), Value: []byte("refuse me")}
			},
			SetDown:        func(_ *testing.T, down bool) { m.SetDown(down) },
			SetLoseAnswers: func(_ *testing.T, lose bool) { m.SetLoseAnswers(lose) },
		}
	})
}
