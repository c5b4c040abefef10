package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

// card is a payload that is no JSON yet.
type card struct{ Number, Holder string }

var changed = &card{"4111-1111-1111-1111", "Jane Doe of Baker Street"}

// hiddenCase is a way in which a payload, as it was or as a step has made it,
// gets into an error.
type hiddenCase struct {
	steps  []func(e *omnibox.Event) error
	handle func(e *omnibox.Event) error
	class  omnibox.Class
	told   string
}

func set(payload any) func(e *omnibox.Event) error {
	return func(e *omnibox.Event) error { e.Payload = payload; return nil }
}

func quote(what ...any) func(*omnibox.Event) error {
	return func(*omnibox.Event) error { return fmt.Errorf("cannot bill %+v", what) }
}

// trap: T3
func TestNoErrorQuotesAPayloadThatAStepChanged(t *testing.T) {
	t.Parallel()
	original := `{"card":"` + secret + `"}`
	for name, c := range map[string]hiddenCase{
		"the failed step, what it has set": {
			steps: []func(e *omnibox.Event) error{func(e *omnibox.Event) error {
				e.Payload = *changed
				return fmt.Errorf("cannot bill %+v", e.Payload)
			}}, told: "step step0: cannot bill {Number:[payload] Holder:[payload]}",
		},
		"a later step, what was set": {
			steps: []func(e *omnibox.Event) error{set(changed), quote(*changed)}, told: "step step1: cannot bill [{Number:[payload] Holder:[payload]}]",
		},
		"a later step, what was read": {
			steps: []func(e *omnibox.Event) error{set(changed), set(map[string]int{"n": 1}), quote(original)},
			told:  "step step2: cannot bill [[payload]]",
		},
		"the handler, what was set": {
			steps: []func(e *omnibox.Event) error{set(changed)}, handle: quote(*changed), told: "cannot bill [{Number:[payload] Holder:[payload]}]",
		},
		"the handler, what was read": {
			steps: []func(e *omnibox.Event) error{set(changed)}, handle: quote(original), told: "cannot bill [[payload]]",
		},
		"what cannot be JSON": {
			steps: []func(e *omnibox.Event) error{set(func() {})}, class: omnibox.ClassPermanent,
			told: "step step0: set a payload that cannot be JSON, a func()",
		},
		"an error next to what cannot be JSON": {
			steps: []func(e *omnibox.Event) error{func(e *omnibox.Event) error {
				e.Payload = map[string]any{"f": func() {}, "card": changed}
				return omnibox.Permanent(quote(original, *changed)(e))
			}}, class: omnibox.ClassPermanent,
			told: "step step0: failed with a *omnibox.Error, and left a payload that cannot be JSON, a map[string]interface {}",
		},
		"a marshaler that panics": {
			steps: []func(e *omnibox.Event) error{set(&marshaler{})}, told: "step step0: panicked with a string",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				var log bytes.Buffer
				b.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
				c.wire(b)
				e := b.table.Enqueue(omnibox.Event{Topic: topic, Key: "a", Type: "t", Payload: json.RawMessage(original)})[0]
				b.drain(t)
				r := b.row(t, e.ID)
				require.Equal(t, c.told, r.LastError)
				if c.class != "" {
					require.Equal(t, c.class, r.Class)
				}
				for _, part := range []string{secret, "4111-", "Baker"} {
					require.NotContains(t, r.LastError+log.String(), part)
				}
			})
		})
	}
}

func (c hiddenCase) wire(b *bed) {
	for i, run := range c.steps {
		b.cfg.Steps = append(b.cfg.Steps, stepFunc{
			pipeline.Spec{Name: fmt.Sprint("step", i)},
			func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) { return pipeline.Next, run(e) },
		})
	}
	if c.handle != nil {
		b.cfg.Handler = handleFunc(func(_ context.Context, events []*omnibox.Event) []error { return []error{c.handle(events[0])} })
	}
}

// marshaler quotes what it does not like.
type marshaler struct{}

func (*marshaler) MarshalJSON() ([]byte, error) { panic(secret) }

// Whatever a step sets, the next one and the handler get JSON.
func TestPayloadsThatAStepSetsAreJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			e.Payload = map[string]any{"n": 7, "text": "<&>"}
			return pipeline.Next, nil
		})
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			require.JSONEq(t, `{"n":7,"text":"<&>"}`, fmt.Sprintf("%s", e.Payload))
			return pipeline.Next, nil
		})
		b.enqueue(1, 1, "a")
		b.drain(t)
		require.JSONEq(t, `{"n":7,"text":"<&>"}`, string(b.broker.Records(topic)[0].Value))
	})
}

// A step that was given up on, or has failed, changes not even the bytes that the
// event had.
func TestBytesOfAnEventAreNotShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		b.cfg.StepTimeout = time.Second
		b.cfg.Retry.Base = -1
		var runs atomic.Int32
		b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
			run := runs.Add(1)
			if run > 2 {
				return pipeline.Next, nil
			}
			raw, _ := e.Payload.(json.RawMessage)
			copy(raw, `{"n":9}`)
			copy(e.Body, "9999")
			if run == 1 {
				time.Sleep(time.Minute)
			}
			return pipeline.Next, errBad
		})
		var seen []string
		b.cfg.Finishers = []pipeline.Finisher{&finisher{at: func(o omnibox.Outcome) {
			raw, _ := o.Event.Payload.(json.RawMessage)
			seen = append(seen, string(raw)+string(o.Event.Body))
		}}}
		b.enqueue(1, 1, "a")
		b.drain(t)
		runs.Store(0)
		b.table.Enqueue(omnibox.Event{Topic: topic, Key: "b", Type: "t", Body: []byte("body"), ContentType: "text/plain"})
		b.drain(t)
		time.Sleep(2 * time.Minute) // the steps that were given up on
		one, two := `{"n":1}`, `{"content_type":"text/plain"}body`
		require.Equal(t, []string{one, one, one, two, two, two}, seen)
	})
}
