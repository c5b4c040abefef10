package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/workflows"
)

// eventScript plays the activities of one event workflow. Each activity answers
// with what its list says, one after the other, and then with success.
type eventScript struct {
	name       string
	steps      []activities.Step
	found      pipeline.Took // by the batch lane
	park       time.Duration
	inbox      bool
	attributes bool                // the namespace has them
	says       map[string][]answer // by the name of the activity

	client client.Client
	id     string
	mu     sync.Mutex
}

// answer of an activity.
type answer struct {
	took pipeline.Took
	err  error
	do   func(context.Context, *eventScript) error // before it answers
	late bool                                      // do comes a moment after the answer
}

var (
	steps = []activities.Step{{Name: "enrich", Timeout: 1000}, {Name: "archive", Timeout: 1000, Long: true}, {Name: "audit", Timeout: 1000}}

	retried = pipeline.Took{
		Verdict: omnibox.Retry, Class: omnibox.ClassTransient, Error: "refused", Attempts: 1, Delay: 500 * time.Millisecond, Token: 7,
	}
	slow    = pipeline.Took{Verdict: omnibox.Retry, Class: omnibox.ClassTransient, Error: "refused", Attempts: 1, Delay: time.Hour, Token: 7}
	dead    = pipeline.Took{Verdict: omnibox.Dead, Class: omnibox.ClassPermanent, Error: "too large", Attempts: 1}
	parked  = pipeline.Took{Verdict: omnibox.Dead, Class: omnibox.ClassPermanent, Error: "too large", Attempts: 1, Parked: true}
	gone    = pipeline.Took{Gone: true}
	again   = temporal.NewApplicationErrorWithOptions("refused", "transient", temporal.ApplicationErrorOptions{NextRetryDelay: 200 * time.Millisecond})
	later   = temporal.NewApplicationErrorWithOptions("refused", "transient", temporal.ApplicationErrorOptions{NextRetryDelay: time.Hour})
	errDown = errors.New("connection refused")
)

func eventScripts() []*eventScript {
	return []*eventScript{
		{name: "healthy"},
		{name: "steps", steps: steps},
		{name: "skipped", says: says("Publish", answer{took: pipeline.Took{Verdict: omnibox.Skipped}})},
		{name: "lost", says: says("Publish", answer{took: gone})},
		{name: "retried", steps: steps, says: says("Publish", answer{took: retried}, answer{err: again})},
		{name: "step-retried", steps: steps, says: says("archive", answer{err: again})},
		{name: "hurried-timer", says: says("Publish", answer{took: slow, do: signalEvent(workflows.SignalRetryNow), late: true})},
		{name: "hurried-activity", says: says("Publish", answer{took: retried}, answer{err: later, do: signalEvent(workflows.SignalRetryNow), late: true})},
		{name: "escalated", found: retried},
		{name: "dead", found: retried, says: says("Publish", answer{took: dead})},
		{name: "replayed", park: time.Hour, says: with(says("Publish", answer{took: dead}), "DeadLetter", answer{took: parked, do: signalEvent(workflows.SignalReplay), late: true})},
		{name: "discarded", found: parked, park: time.Hour, says: says("", answer{do: signalEvent(workflows.SignalDiscard), late: true})},
		{name: "forgotten", found: parked, park: 300 * time.Millisecond},
		{name: "applied", inbox: true},
		{name: "apply-retried", inbox: true, attributes: true, says: says("Apply", answer{took: retried}, answer{err: again})},
		{name: "apply-dead", inbox: true, attributes: true, park: time.Hour, says: with(says("Apply", answer{took: dead}), "DeadLetter", answer{took: parked, do: signalEvent(workflows.SignalReplay), late: true})},
		{name: "commit-down", attributes: true, says: says("Commit", answer{err: errDown}, answer{err: errDown}, answer{err: errDown})},
		{name: "database-down", steps: steps[:1], says: says("Publish", answer{err: errDown}, answer{err: errDown}, answer{err: errDown}, answer{took: gone})},
	}
}

func says(name string, answers ...answer) map[string][]answer {
	return map[string][]answer{name: answers}
}

func with(all map[string][]answer, name string, answers ...answer) map[string][]answer {
	all[name] = answers
	return all
}

func signalEvent(name string) func(context.Context, *eventScript) error {
	return func(ctx context.Context, s *eventScript) error {
		return s.client.SignalWorkflow(ctx, s.id, "", name, workflows.EventSignal{By: "operator", Note: "recorded"})
	}
}

// answer gives the next answer of an activity.
func (s *eventScript) answer(ctx context.Context, name string) (pipeline.Took, error) {
	s.mu.Lock()
	var a answer
	if list := s.says[name]; len(list) > 0 {
		a, s.says[name] = list[0], list[1:]
	}
	s.mu.Unlock()
	if a.do != nil && a.late {
		time.AfterFunc(500*time.Millisecond, func() { _ = a.do(context.WithoutCancel(ctx), s) })
	}
	return a.took, a.err
}

// plays is an activity of the script. Local activities are called with what the
// workflow passes, so that In must be theirs.
func plays[In any](s *eventScript, name string, otherwise func(In) pipeline.Took) any {
	return func(ctx context.Context, in In) (pipeline.Took, error) {
		out, err := s.answer(ctx, name)
		if err == nil && out == (pipeline.Took{}) {
			out = otherwise(in)
		}
		return out, err
	}
}

// register makes the activities of the script known to a worker.
func (s *eventScript) register(w worker.Worker) {
	through := func(activities.PublishIn) pipeline.Took { return pipeline.Took{Verdict: omnibox.Completed, Begun: 1} }
	took := func(in activities.FinishIn) pipeline.Took { return in.Took }
	for name, play := range map[string]any{
		"Steps":      plays(s, "Steps", func(activities.StepsIn) pipeline.Took { return pipeline.Took{} }),
		"Publish":    plays(s, "Publish", through),
		"Apply":      plays(s, "Apply", through),
		"Commit":     plays(s, "Commit", took),
		"DeadLetter": plays(s, "DeadLetter", took),
	} {
		w.RegisterActivityWithOptions(play, activity.RegisterOptions{Name: name})
	}
	for _, step := range steps {
		play := plays(s, step.Name, func(activities.EventIn) pipeline.Took { return pipeline.Took{} })
		w.RegisterActivityWithOptions(play, activity.RegisterOptions{Name: step.Name})
	}
	resolve := func(_ context.Context, in activities.ResolveIn) (activities.ResolveOut, error) {
		return activities.ResolveOut{Turn: in.Turn}, nil
	}
	for _, name := range []string{"Replay", "Discard", "Look"} {
		w.RegisterActivityWithOptions(resolve, activity.RegisterOptions{Name: name})
	}
}

// input is what the workflow starts with; always the same.
func (s *eventScript) input() workflows.EventInput {
	return workflows.EventInput{
		EventIn: activities.EventIn{Turn: recordedTurn()}, Pipeline: "recorded", Found: s.found,
		Plan: activities.Plan{
			Steps: s.steps, Lease: 5000, ParkFor: activities.Milliseconds(s.park.Milliseconds()), Inbox: s.inbox, Attributes: s.attributes,
		},
	}
}

// recordedTurn is always the same.
func recordedTurn() pipeline.Turn {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	return pipeline.Turn{
		ID: uuid.MustParse("5f0c1b8e-6f0a-4a56-9d43-0d9a1c1f2a3b"), CreatedAt: at, Slot: 3, Token: 7, Topic: "orders", Key: "42", Type: "order.placed", At: at.UnixMilli(),
	}
}
