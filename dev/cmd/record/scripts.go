package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"

	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/workflows"
)

// script plays the activities of a poller: it answers one fetch after the
// other, and the last one with a shard that is gone.
type script struct {
	name    string
	fetches []fetch
	drains  []drain

	client client.Client
	id     string
	mu     sync.Mutex
}

type fetch struct {
	due   bool
	turns int // events that are handed over
	err   error
	do    func(context.Context, *script) error // before it answers
}

type drain struct {
	out activities.DrainOut
	err error
	do  func(context.Context, *script) error
}

func scripts() []*script {
	calm := drain{out: activities.DrainOut{Reason: pipeline.Calm, Counts: pipeline.Counts{Fetched: 5, Completed: 4, Dead: 1}}}
	down := errors.New("connection refused")
	return []*script{
		{name: "idle", fetches: make([]fetch, 3)},
		{name: "children", fetches: []fetch{{turns: 1}, {turns: 3, due: true}}, drains: []drain{calm}},
		{name: "waves", fetches: []fetch{{turns: 20}, {turns: 20}, {turns: 5}}},
		{name: "drain", fetches: []fetch{{due: true}, {}, {due: true}, {due: true}}, drains: []drain{calm, calm, calm}},
		{
			name: "unreachable", fetches: []fetch{{due: true}, {due: true}},
			drains: []drain{{out: activities.DrainOut{Reason: pipeline.Unreachable, Counts: pipeline.Counts{Released: 9}}}, calm},
		},
		{
			name: "failing", fetches: []fetch{{err: down}, {err: down}, {due: true}},
			drains: []drain{{err: down}, calm},
		},
		{
			name: "paused", fetches: []fetch{{due: true}, {due: true}, {due: true}},
			drains: []drain{
				{out: activities.DrainOut{Reason: pipeline.Paused}, do: sendSignal(workflows.SignalPause)},
				{out: calm.out, do: sendSignal(workflows.SignalResume)},
				calm,
			},
		},
		{
			name: "cancelled", fetches: []fetch{{}, {do: func(ctx context.Context, s *script) error {
				return s.client.CancelWorkflow(ctx, s.id, "")
			}}},
		},
		{name: "rollover", fetches: rollovers(), drains: []drain{calm, calm, calm, calm, calm, calm, calm, calm}},
	}
}

// rollovers signals at every turn, so that some signals meet the end of a run.
func rollovers() []fetch {
	var all []fetch
	for i := range 12 {
		name := workflows.SignalPause
		if i%2 == 1 {
			name = workflows.SignalResume
		}
		all = append(all, fetch{due: i%2 == 0, do: sendSignal(name)})
	}
	return all
}

func sendSignal(name string) func(context.Context, *script) error {
	return func(ctx context.Context, s *script) error {
		err := s.client.SignalWorkflow(ctx, s.id, "", name, workflows.PauseSignal{By: "operator", Reason: "recorded"})
		time.Sleep(200 * time.Millisecond) // so that the poller meets it before the activity ends
		return err
	}
}

// Fetch answers as the script says.
func (s *script) Fetch(ctx context.Context, _ activities.FetchIn) (activities.FetchOut, error) {
	s.mu.Lock()
	if len(s.fetches) == 0 {
		s.mu.Unlock()
		return activities.FetchOut{Gone: true}, nil
	}
	next := s.fetches[0]
	s.fetches = s.fetches[1:]
	s.mu.Unlock()
	if next.do != nil {
		if err := next.do(ctx, s); err != nil {
			return activities.FetchOut{}, err
		}
	}
	out := activities.FetchOut{Due: next.due, Drain: time.Minute}
	for n := range next.turns {
		turn := recordedTurn()
		turn.ID = uuid.NewSHA1(turn.ID, []byte{byte(n)})
		out.Turns = append(out.Turns, turn)
		out.Plan = &activities.Plan{Lease: 5000}
	}
	return out, next.err
}

// Drain answers as the script says.
func (s *script) Drain(ctx context.Context, _ activities.DrainIn) (activities.DrainOut, error) {
	s.mu.Lock()
	next := s.drains[0]
	s.drains = s.drains[1:]
	s.mu.Unlock()
	if next.do != nil {
		if err := next.do(ctx, s); err != nil {
			return activities.DrainOut{}, err
		}
	}
	return next.out, next.err
}

// SetPaused has nothing to pause.
func (*script) SetPaused(context.Context, activities.SetPausedIn) (activities.SetPausedOut, error) {
	return activities.SetPausedOut{}, nil
}
