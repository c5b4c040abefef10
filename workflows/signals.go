package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
)

// signals applies the signals of a poller beside its main loop: a pause must
// not wait for the drain to end.
type signals struct {
	poller        *poller
	pause, resume workflow.ReceiveChannel
	busy          bool
}

// setPausedTimeout is for one statement.
const setPausedTimeout = 30 * time.Second

func (p *poller) listen(ctx workflow.Context) *signals {
	s := &signals{
		poller: p,
		pause:  workflow.GetSignalChannel(ctx, SignalPause),
		resume: workflow.GetSignalChannel(ctx, SignalResume),
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			in := s.next(ctx)
			s.busy = true
			// the policy has no end: an error here is the workflow's own end
			_, _ = do(ctx, map[bool]string{true: "pause", false: "resume"}[in.Paused], p.within(setPausedTimeout), p.relay.SetPaused, in)
			s.busy = false
		}
	})
	return s
}

// next waits for a signal. Of several that have arrived the last one counts,
// those of pause after those of resume: when in doubt, nothing is sent.
func (s *signals) next(ctx workflow.Context) activities.SetPausedIn {
	var in activities.SetPausedIn
	take := func(paused bool) func(workflow.ReceiveChannel, bool) {
		return func(c workflow.ReceiveChannel, _ bool) {
			var sig PauseSignal
			for c.ReceiveAsync(&sig) {
				s.poller.Signals++
				in = activities.SetPausedIn{Poller: s.poller.Poller, Paused: paused, By: sig.By, Reason: sig.Reason}
			}
		}
	}
	workflow.NewSelector(ctx).AddReceive(s.resume, take(false)).AddReceive(s.pause, take(true)).Select(ctx)
	return in
}

// settle waits until every signal that has arrived is applied, since a new run
// does not get them.
func (s *signals) settle(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool {
		return !s.busy && s.pause.Len() == 0 && s.resume.Len() == 0
	})
}
