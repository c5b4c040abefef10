package workflows

import (
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/activities"
)

// quickly is the first attempt of an event. Its parts are local activities, but
// for long steps; the short steps behind the last long one go with the handler.
// When the worker cannot get on with them, since the database is down, the others
// take over: they are tried for as long as it takes.
func (e *event) quickly(ctx workflow.Context) (Took, error) {
	took, from, err := e.stepsToLastLong(ctx)
	if err == nil && goesOn(took) {
		handle := e.actions.Publish
		if e.Plan.Inbox {
			handle = e.actions.Apply
		}
		took, err = e.next(local(ctx, e.handling(), handle, activities.PublishIn{EventIn: e.EventIn, From: from}))
	}
	switch {
	case temporal.IsCanceledError(err):
		return took, err
	case err != nil:
		return e.slowly(ctx, e.carefully)
	case took.Verdict == omnibox.Dead:
		return e.bury(ctx, took)
	}
	done, err := e.finish(took, func(in activities.FinishIn) (Took, error) {
		return local(ctx, e.lease(), e.actions.Commit, in)
	})
	if err == nil || temporal.IsCanceledError(err) {
		return done, err
	}
	return e.slowly(ctx, func(ctx workflow.Context) (Took, error) { return e.commit(ctx, took) }) // what was sent is not sent again
}

// slowly goes on with an event that its first attempt could not be brought through,
// and that people can find from now on.
func (e *event) slowly(ctx workflow.Context, on func(workflow.Context) (Took, error)) (Took, error) {
	if err := e.upsert(ctx, StatusRetrying, ""); err != nil {
		return Took{}, err
	}
	return on(ctx)
}

// stepsToLastLong takes the event through the steps up to the last long one, the
// short ones between two long ones together, and returns where it is then.
func (e *event) stepsToLastLong(ctx workflow.Context) (took Took, from int, err error) {
	steps := e.Plan.Steps
	isLong := func(s activities.Step) bool { return s.Long }
	for err == nil && goesOn(took) {
		long := slices.IndexFunc(steps[from:], isLong)
		switch {
		case long < 0:
			return took, from, nil
		case long > 0:
			in := activities.StepsIn{EventIn: e.EventIn, From: from, To: from + long}
			took, err = e.next(local(ctx, e.handling(), e.actions.Steps, in))
			from += long
		default:
			took, err = e.next(e.step(ctx, from))
			from++
		}
	}
	return took, from, err
}

// carefully is a later attempt: each part is an activity of its own. It is tried
// again with the backoff that was decided, until the event is through, dead, or
// gone; so an error is the end of the workflow itself.
func (e *event) carefully(ctx workflow.Context) (took Took, err error) {
	for n := 0; n < len(e.Plan.Steps) && err == nil && goesOn(took); n++ {
		took, err = e.next(e.step(ctx, n))
	}
	if err == nil && goesOn(took) {
		handle := activityPublish
		if e.Plan.Inbox {
			handle = activityApply
		}
		took, err = e.next(e.until(ctx, e.way()+" topic "+e.Turn.Topic, handle, e.handling(), activities.PublishIn{EventIn: e.EventIn, From: len(e.Plan.Steps)}))
	}
	if err != nil {
		return took, err
	}
	if took.Verdict == omnibox.Dead {
		return e.bury(ctx, took)
	}
	return e.commit(ctx, took)
}

// commit settles what is not settled yet, for as long as that takes.
func (e *event) commit(ctx workflow.Context, took Took) (Took, error) {
	return e.finish(took, func(in activities.FinishIn) (Took, error) {
		return do(ctx, string(took.Verdict), timeouts{whole: e.lease()}, e.actions.Commit, in)
	})
}

// next is the turn for what follows a part; what failed as a whole has changed nothing.
func (e *event) next(took Took, err error) (Took, error) {
	if err == nil {
		e.Turn = e.Turn.Next(took)
	}
	return took, err
}

// goesOn tells whether the next part is to follow.
func goesOn(took Took) bool { return took.Verdict == "" && !took.Gone }

// finish settles what is not settled yet.
func (e *event) finish(took Took, commit func(activities.FinishIn) (Took, error)) (Took, error) {
	if took.Gone || took.Verdict == omnibox.Retry {
		return took, nil
	}
	return commit(activities.FinishIn{EventIn: e.EventIn, Took: took})
}

// bury writes the dead letter.
func (e *event) bury(ctx workflow.Context, took Took) (Took, error) {
	if took.Gone {
		return took, nil
	}
	return do(ctx, string(took.Class), timeouts{whole: e.lease()}, e.actions.DeadLetter, activities.FinishIn{EventIn: e.EventIn, Took: took})
}

// step runs one step as an activity under the step's own name.
func (e *event) step(ctx workflow.Context, n int) (Took, error) {
	return e.until(ctx, "", e.Plan.Steps[n].Name, e.handling(), e.EventIn)
}
