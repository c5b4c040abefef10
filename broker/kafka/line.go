package kafka

import (
	"context"
	"slices"
	"sync"

	"github.com/omnibox-go/omnibox/broker"
)

// line holds what the claims have received until it is handed out. Claims put
// chunks in at one end, in the order of their partition, and wait while it is
// full; polls are taken from the other end. While a poll is in hand the next one
// gathers, so under load every poll is full, and otherwise none waits.
type line struct {
	most int // messages of a poll; when as many wait, the line is full

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

func newLine(most int) *line { return &line{most: most} }

// change runs f under the lock and lets all that wait look again.
func (l *line) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// until waits until try, which is called under the lock, returns true, and
// reports that; or until an end is closed.
func (l *line) until(ctx context.Context, end <-chan struct{}, try func() bool) bool {
	for {
		l.mu.Lock()
		if ctx.Err() != nil || isClosed(end) {
			l.mu.Unlock()
			return false
		}
		if try() {
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
	if !l.until(ctx, c.revoked, func() bool { return l.waiting < l.most }) {
		return false
	}
	l.change(func() {
		l.chunks = append(l.chunks, chunk{c, messages})
		l.waiting += len(messages)
	})
	return true
}

// take gives the next poll, and nil once ctx has ended. Until done is called,
// the claims whose messages it has are in hand.
func (l *line) take(ctx context.Context) (poll []broker.Message) {
	if !l.until(ctx, nil, func() bool { return !l.paused && l.waiting > 0 }) {
		return nil
	}
	l.change(func() {
		poll = make([]broker.Message, 0, min(l.waiting, l.most))
		taken := 0
		for i := range l.chunks {
			c := &l.chunks[i]
			n := min(len(c.messages), l.most-len(poll))
			if n == 0 {
				break
			}
			poll = append(poll, c.messages[:n]...)
			c.claim.position = c.messages[n-1].Offset + 1
			l.inHand = append(l.inHand, c.claim)
			c.messages = c.messages[n:]
			if len(c.messages) == 0 {
				taken = i + 1
			}
		}
		l.chunks = slices.Delete(l.chunks, 0, taken)
		l.waiting -= len(poll)
	})
	return poll
}

// done says that nothing is in hand any more.
func (l *line) done() { l.change(func() { l.inHand = l.inHand[:0] }) }

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
