package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/activities"
)

// setPausedTimeout is for one statement. There is no heartbeat to miss: it would start
// another attempt beside one that may still write, over what came after it.
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
		for workflow.Await(ctx, s.came) == nil {
			if in, ok := s.next(p); ok {
				p.Wanted = &in
			}
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for workflow.Await(ctx, func() bool { return p.Wanted != nil }) == nil {
			in := p.Wanted
			// the policy has no end: an error here is the workflow's own end
			_, _ = do(ctx, map[bool]string{true: "pause", false: "resume"}[in.Paused], timeouts{whole: setPausedTimeout}, p.relay.SetPaused, *in)
			if p.Wanted == in { // else another has come meanwhile
				p.Wanted = nil
			}
		}
	})
	return s
}

type signals struct{ pause, resume workflow.ReceiveChannel }

// came tells whether there is a signal that was not taken. A signal lies in its
// channel until next takes it: to wait for one with a selector would not do, which
// holds the one it wakes up for where Len does not count it.
func (s *signals) came() bool { return s.pause.Len()+s.resume.Len() > 0 }

// next takes the signals that came. Of several the last one counts, those of pause
// after those of resume: when in doubt, nothing is sent. One whose argument cannot
// be read is dropped, and logged, by the SDK.
func (s *signals) next(p *poller) (in activities.SetPausedIn, ok bool) {
	take := func(c workflow.ReceiveChannel, paused bool) {
		for sig := (PauseSignal{}); c.ReceiveAsync(&sig); sig = (PauseSignal{}) {
			p.Signals++
			ok = true
			in = activities.SetPausedIn{Poller: p.Poller, Paused: paused, By: sig.By, Reason: sig.Reason}
		}
	}
	take(s.resume, false)
	take(s.pause, true)
	return in, ok
}

// taken waits until no signal is left that a new run would not get.
func (s *signals) taken(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return !s.came() })
}

// written waits until what the last signal asked for is in the database.
func (s *signals) written(ctx workflow.Context, p *poller) error {
	return workflow.Await(ctx, func() bool { return !s.came() && p.Wanted == nil })
}
