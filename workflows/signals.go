package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
)

// setPausedTimeout is for one statement.
const setPausedTimeout = 30 * time.Second

// listen applies the signals of a poller beside its main loop: a pause must not
// wait for a drain to end. One coroutine takes signals as they come, and keeps the
// last; another writes it down. What is not written down when a run ends goes into
// the next one with the state.
func (p *poller) listen(ctx workflow.Context) *signals {
	s := &signals{
		pause:  workflow.GetSignalChannel(ctx, SignalPause),
		resume: workflow.GetSignalChannel(ctx, SignalResume),
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			if in, ok := s.next(ctx, p); ok {
				p.Wanted = &in
			}
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for workflow.Await(ctx, func() bool { return p.Wanted != nil }) == nil {
			in := p.Wanted
			// the policy has no end: an error here is the workflow's own end
			_, _ = do(ctx, map[bool]string{true: "pause", false: "resume"}[in.Paused], p.within(setPausedTimeout), p.relay.SetPaused, *in)
			if p.Wanted == in { // else another has come meanwhile
				p.Wanted = nil
			}
		}
	})
	return s
}

type signals struct{ pause, resume workflow.ReceiveChannel }

// next waits for a signal. Of several that have arrived together the last one
// counts, those of pause after those of resume: when in doubt, nothing is sent.
// One whose argument cannot be read is dropped, and logged, by the SDK.
func (s *signals) next(ctx workflow.Context, p *poller) (in activities.SetPausedIn, ok bool) {
	take := func(paused bool) func(workflow.ReceiveChannel, bool) {
		return func(c workflow.ReceiveChannel, _ bool) {
			var sig PauseSignal
			for c.ReceiveAsync(&sig) {
				p.Signals++
				ok = true
				in = activities.SetPausedIn{Poller: p.Poller, Paused: paused, By: sig.By, Reason: sig.Reason}
			}
		}
	}
	workflow.NewSelector(ctx).AddReceive(s.resume, take(false)).AddReceive(s.pause, take(true)).Select(ctx)
	return in, ok
}

// taken waits until no signal is left that a new run would not get.
func (s *signals) taken(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return s.pause.Len() == 0 && s.resume.Len() == 0 })
}

// written waits until what the last signal asked for is in the database.
func (s *signals) written(ctx workflow.Context, p *poller) error {
	return workflow.Await(ctx, func() bool { return s.pause.Len() == 0 && s.resume.Len() == 0 && p.Wanted == nil })
}
