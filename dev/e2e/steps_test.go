package e2e

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

// step is a user's step made of a function; it remembers its calls.
type step struct {
	run func(ctx context.Context, e *omnibox.Event, n int) error

	mu    sync.Mutex
	calls []stepCall
}

type stepCall struct {
	key string
	n   int
	at  time.Time
}

func (s *step) Spec() pipeline.Spec { return pipeline.Spec{Name: "test"} }

func (s *step) Run(ctx context.Context, e *omnibox.Event) (pipeline.Result, error) {
	n := numberOf(e)
	s.mu.Lock()
	s.calls = append(s.calls, stepCall{key: e.Key, n: n, at: time.Now()})
	s.mu.Unlock()
	if s.run == nil {
		return pipeline.Next, nil
	}
	return pipeline.Next, s.run(ctx, e, n)
}

// of gives the times at which an event of the key "bad" came.
func (s *step) of(n int) (times []time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c.key == "bad" && c.n == n {
			times = append(times, c.at)
		}
	}
	return times
}

func numberOf(e *omnibox.Event) int {
	var body struct{ N int }
	if raw, ok := e.Payload.(json.RawMessage); ok {
		_ = json.Unmarshal(raw, &body) // then it is 0
	}
	return body.N
}
