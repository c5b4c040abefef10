package workflows

import (
	"cmp"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
)

// Timeouts and retry policies of the poller's activities.
var (
	// an activity that has not been heard of for so long is started elsewhere,
	// as long as no fetch has told
	heartbeatTimeout = 10 * time.Second
	// the long poll of at most 15 minutes and what it takes to end it
	fetchTimeout = 17 * time.Minute
	// tried for ever: what a database or broker needs is time, or a person. A
	// killed worker's activity waits for its next attempt too, after as many
	// attempts as there were before: so the interval stays short
	forever = &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 2 * time.Second}
	// between drains that did not get on, so that they do not spin; it doubles
	// with each one
	breath, longestBreath = time.Second, 30 * time.Second
)

type poller struct {
	PollerState
	relay   *activities.Relay // nil: for its method references only
	spawned int               // children of this run
}

// A child that ends costs a parent that still runs an event and a workflow task,
// and one that has continued as new nothing. But the server lets a run continue no
// sooner than a second after it began: it would hold the next one back.
const (
	manyChildren = 40
	shortestRun  = 1500 * time.Millisecond
)

func (p *poller) hasManyChildren(ctx workflow.Context) bool {
	return p.spawned >= manyChildren && workflow.Now(ctx).Sub(workflow.GetInfo(ctx).WorkflowStartTime) > shortestRun
}

// Poller looks after the slots of one shard for as long as it exists: it waits
// for due events, has them drained, and continues as new when its history has
// grown. It ends only when its shard is no more.
func Poller(ctx workflow.Context, state PollerState) error {
	p := &poller{PollerState: state}
	if err := workflow.SetQueryHandler(ctx, QueryStatus, func() (PollerState, error) { return p.PollerState, nil }); err != nil {
		return err
	}
	signals := p.listen(ctx)
	for {
		gone, err := p.round(ctx)
		if err != nil {
			return err
		}
		if gone {
			return signals.written(ctx, p)
		}
		if p.hasManyChildren(ctx) || workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			if err := signals.taken(ctx); err != nil {
				return err
			}
			return workflow.NewContinueAsNewError(ctx, PollerWorkflow, p.PollerState)
		}
	}
}

// round waits for due events, starts the workflows of those that are to have one,
// and drains the others.
func (p *poller) round(ctx workflow.Context) (gone bool, err error) {
	p.enter(ctx, phaseWaiting)
	found, err := do(ctx, "long poll", p.within(fetchTimeout), p.relay.Fetch, activities.FetchIn{Poller: p.Poller})
	if err != nil || found.Gone {
		return true, err
	}
	p.Heartbeat = found.Heartbeat
	if len(found.Turns) > 0 {
		p.enter(ctx, phaseSpawning)
		p.spawn(ctx, found.Turns, *found.Plan)
	}
	if !found.Due {
		return false, nil
	}
	p.enter(ctx, phaseDraining)
	out, err := do(ctx, "batch lane", p.within(found.Drain), p.relay.Drain, activities.DrainIn{Poller: p.Poller})
	if err != nil {
		return true, err
	}
	p.Drains++
	p.Last = out
	p.Sent += out.Completed
	p.Dead += out.Dead
	if out.Completed+out.Skipped+out.Retried+out.Dead > 0 {
		p.Idle = 0
		return false, nil
	}
	pause := longestBreath
	if p.Idle < 5 {
		pause = breath << p.Idle
	}
	p.Idle++
	return false, workflow.Sleep(ctx, min(pause, longestBreath))
}

// within bounds an activity of the poller: it takes at most d, and is heard of.
func (p *poller) within(d time.Duration) timeouts {
	return timeouts{whole: d, heartbeat: cmp.Or(p.Heartbeat, heartbeatTimeout)}
}

// enter tells the phase to the query and to the UI's details.
func (p *poller) enter(ctx workflow.Context, phase string) {
	p.Phase = phase
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("Pipeline **%s**, shard %d: %s.\n\nSo far %d event workflows started; %d events delivered and %d dead in %d drains; the last one ended: %s.",
		p.Pipeline, p.Shard, phase, p.Started, p.Sent, p.Dead, p.Drains, cmp.Or(string(p.Last.Reason), "none yet")))
}
