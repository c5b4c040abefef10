package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

const (
	// wave is how many children a poller starts at once: wider fans stall it.
	wave = 20
	// maxInFlight is how many events of a pipeline may be with workflows at once,
	// failed ones not counted. More make none of them faster.
	maxInFlight = 200
	// startTimeout bounds the start of one event workflow.
	startTimeout = 10 * time.Second
)

// lane is the table as the workflow lane sees it.
func (b *box) lane() *store.Lane {
	cfg := store.LaneConfig{Budget: -1, InFlight: maxInFlight}
	if b.cfg.Lane != config.LaneWorkflow {
		cfg.Budget, cfg.Burst = b.cfg.WorkflowBudget, b.cfg.CalmThreshold
	}
	if b.cfg.Inbox != nil {
		cfg.Lease = b.cfg.Inbox.HandlerTimeout + b.cfg.Lease
	}
	return b.store.Lane(cfg)
}

// ownLane settles with a commit strategy of the user's.
type ownLane struct {
	*store.Lane
	commit omnibox.CommitStrategy
}

// Commit records outcomes under the events' own leases.
func (l ownLane) Commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	return l.commit.Commit(ctx, outcomes)
}

// handOver says which events the poller's fetch hands to workflows.
func (b *box) handOver(p *pipeline.Pipeline) activities.Lane {
	lane := activities.Lane{Plan: activities.Plan{
		Lease: activities.Milliseconds(b.cfg.Lease.Milliseconds()), ParkFor: activities.Milliseconds(b.cfg.ParkFor.Milliseconds()),
	}}
	if b.cfg.Inbox != nil {
		lane.Plan.Inbox, lane.Plan.Handler = true, activities.Milliseconds((3*b.cfg.Inbox.HandlerTimeout + 5*time.Second).Milliseconds())
	}
	for _, s := range p.StepSpecs() {
		lane.Plan.Steps = append(lane.Plan.Steps, activities.Step{Name: s.Name, Timeout: activities.Milliseconds(s.Timeout.Milliseconds()), Long: s.Long})
	}
	switch {
	case b.cfg.Lane == config.LaneWorkflow:
		lane.Most = wave
	case b.cfg.Lane != config.LaneBatch && b.cfg.WorkflowBudget > 0:
		lane.Calm = b.cfg.CalmThreshold
		lane.Most = min(wave, b.cfg.CalmThreshold)
	}
	return lane
}

// escalate starts the workflows of events that failed in the batch lane. It does
// not wait for them: settling goes on. Where a start fails the lease of the row
// runs out, and the event is fetched again.
func (b *box) escalate(ctx context.Context, failed []omnibox.Outcome) {
	plan := b.plan.Load()
	for _, o := range failed {
		in := workflows.EventInput{
			EventIn:  activities.EventIn{Turn: pipeline.TurnOf(o.Event, time.Now())},
			Pipeline: b.name,
			Plan:     *plan,
			Found: pipeline.Took{
				Verdict: o.Verdict, Class: o.Class, Error: o.Error, Attempts: o.Attempts, Delay: o.Delay, Parked: o.Verdict == omnibox.Dead,
			},
		}
		b.starts.do(func() { b.startEvent(context.WithoutCancel(ctx), in, o) })
	}
}

// starts are those of event workflows under way. One that comes while they are
// waited for is left out: the lease of its event runs out.
type starts struct {
	mu      sync.Mutex
	waiting bool
	all     sync.WaitGroup
}

func (s *starts) do(start func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.waiting {
		s.all.Go(start)
	}
}

func (s *starts) wait() {
	s.mu.Lock()
	s.waiting = true
	s.mu.Unlock()
	s.all.Wait()
	s.mu.Lock()
	s.waiting = false
	s.mu.Unlock()
}

// startEvent starts a workflow. If that fails, the event goes on without one.
func (b *box) startEvent(ctx context.Context, in workflows.EventInput, failed omnibox.Outcome) {
	if err := b.tryStart(ctx, in); err != nil {
		b.log.WarnContext(ctx, "start event workflow, the event goes on without one",
			slog.String("event", in.Turn.ID.String()), slog.Any("error", err))
		if err := b.letters.Forgo(ctx, failed); err != nil {
			b.log.WarnContext(ctx, "forgo event workflow", slog.Any("error", err))
		}
	}
}

func (b *box) tryStart(ctx context.Context, in workflows.EventInput) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	options := client.StartWorkflowOptions{
		ID:        workflows.EventID(b.worker.cfg.Temporal.IDPrefix, b.name, in.Turn.ID.String()),
		TaskQueue: b.queue(),
		// one that still runs has lost the lease of the row: this one has it
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
		TypedSearchAttributes:    workflows.EventAttributes(in),
		StaticSummary:            workflows.EventSummary(in),
	}
	_, err := b.worker.temporal.ExecuteWorkflow(ctx, options, workflows.EventWorkflow, in)
	return err
}

// ensureAttributes makes the search attributes known to the namespace; it returns
// whether they are. Without them people cannot search for what a workflow is about.
func (b *box) ensureAttributes(ctx context.Context) bool {
	if b.cfg.Lane == config.LaneBatch {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	missing, err := MissingAttributes(ctx, b.worker.temporal, b.worker.namespace)
	if err == nil && len(missing) == 0 {
		return true
	}
	if err == nil {
		err = AddAttributes(ctx, b.worker.temporal, b.worker.namespace, missing)
	}
	if err != nil {
		b.log.WarnContext(ctx, "event workflows go without search attributes", slog.Any("error", err),
			slog.String("hint", "omnibox doctor prints the command that adds them"))
	}
	return err == nil
}

// MissingAttributes are the search attributes that a namespace lacks. It is an
// error if it has one of another type.
func MissingAttributes(ctx context.Context, c client.Client, namespace string) ([]string, error) {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, name := range workflows.Attributes() {
		found, ok := have.GetCustomAttributes()[name]
		if !ok {
			missing = append(missing, name)
		} else if found != enums.INDEXED_VALUE_TYPE_KEYWORD {
			return nil, fmt.Errorf("search attribute %s of namespace %s is of type %s, and omnibox needs Keyword: remove it, or use another namespace", name, namespace, found)
		}
	}
	return missing, nil
}

// AddAttributes adds search attributes to a namespace and waits until it knows
// them.
func AddAttributes(ctx context.Context, c client.Client, namespace string, names []string) error {
	types := map[string]enums.IndexedValueType{}
	for _, name := range names {
		types[name] = enums.INDEXED_VALUE_TYPE_KEYWORD
	}
	_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: types})
	if _, exists := errors.AsType[*serviceerror.AlreadyExists](err); err != nil && !exists {
		return err
	}
	for {
		missing, err := MissingAttributes(ctx, c, namespace)
		if err != nil || len(missing) == 0 {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
