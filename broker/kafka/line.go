package kafka

import (
	"context"
	"slices"
	"sync"

	"github.com/omnibox-go/omnibox/broker"
)

// line holds what the claims have received until it is handed out. Claims put
// chunks in at one end, in the order of their partition, and wait while it is
// full; polls are taken from the other end. While a poll is in hand another one
// gathers of other claims, and is taken when it is full; so under load every poll
// is, and otherwise none waits.
type line struct {
	most int // messages of a poll

	mu      sync.Mutex
	changed chan struct{} // closed at the next change; nil while nobody waits
	chunks  []chunk
	waiting int      // messages in chunks
	inHand  []*claim // whose messages are being handled
	paused  bool
}

// chunk is what a claim has received at once.
type chunk struct {
	claim    *claim
	messages []broker.Message
}

// poll is what is handed out at once.
type poll struct {
	messages []broker.Message
	claims   []*claim
}

// pollsInLine is how many polls wait at most, but for a chunk: some belong to claims
// that are in hand.
const pollsInLine = 3

func newLine(most int) *line { return &line{most: most} }

// change runs f under the lock and lets all that wait look again.
func (l *line) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.wake()
}

// wake lets all that wait look again. It is called under the lock.
func (l *line) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// until waits until try, which is called under the lock and may change the line,
// returns true, and reports that; or until an end is closed.
func (l *line) until(ctx context.Context, end <-chan struct{}, try func() bool) bool {
	for {
		l.mu.Lock()
		if ctx.Err() != nil || isClosed(end) {
			l.mu.Unlock()
			return false
		}
		if try() {
			l.wake()
			l.mu.Unlock()
			return true
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		case <-end:
		}
	}
}

// put adds a chunk once there is room. False means that the claim has ended.
func (l *line) put(ctx context.Context, c *claim, messages []broker.Message) bool {
	return l.until(ctx, c.revoked, func() bool {
		if l.waiting >= pollsInLine*l.most {
			return false
		}
		l.chunks = append(l.chunks, chunk{c, messages})
		l.waiting += len(messages)
		return true
	})
}

// take gives the next poll, and nil once ctx has ended. Until it is done, the
// claims whose messages it has are in hand, and are in no other poll.
func (l *line) take(ctx context.Context) (p *poll) {
	l.until(ctx, nil, func() bool {
		if l.paused || !l.ready() {
			return false
		}
		p = l.gather()
		return true
	})
	return p
}

// ready tells whether there is a poll to take.
func (l *line) ready() bool {
	free := 0
	for _, k := range l.chunks {
		if !slices.Contains(l.inHand, k.claim) {
			free += len(k.messages)
		}
	}
	return free >= l.most || free > 0 && len(l.inHand) == 0
}

// gather takes messages of claims that are not in hand.
func (l *line) gather() *poll {
	p := &poll{messages: make([]broker.Message, 0, min(l.waiting, l.most))}
	for i := range l.chunks {
		k := &l.chunks[i]
		n := min(len(k.messages), l.most-len(p.messages))
		if n == 0 {
			break
		}
		if slices.Contains(l.inHand, k.claim) {
			continue
		}
		p.messages = append(p.messages, k.messages[:n]...)
		k.claim.position = k.messages[n-1].Offset + 1
		k.messages = k.messages[n:]
		if !slices.Contains(p.claims, k.claim) {
			p.claims = append(p.claims, k.claim)
		}
	}
	l.chunks = slices.DeleteFunc(l.chunks, func(k chunk) bool { return len(k.messages) == 0 })
	l.waiting -= len(p.messages)
	l.inHand = append(l.inHand, p.claims...)
	return p
}

// done says that a poll is not in hand any more.
func (l *line) done(p *poll) {
	l.change(func() {
		l.inHand = slices.DeleteFunc(l.inHand, func(c *claim) bool { return slices.Contains(p.claims, c) })
	})
}

// leave removes what waits of a claim, and waits until none of it is in hand.
func (l *line) leave(c *claim) {
	l.change(func() {
		l.chunks = slices.DeleteFunc(l.chunks, func(k chunk) bool {
			if k.claim == c {
				l.waiting -= len(k.messages)
			}
			return k.claim == c
		})
	})
	l.until(context.Background(), nil, func() bool { return !slices.Contains(l.inHand, c) }) //nolint:forbidigo // the handler ends by its own context
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
