package inbox

import (
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
)

const (
	// lossesForgiven is how often in a row the connection to the database may break
	// under the handler of a message before that is the message's own failure. The
	// transaction has begun and locked its row each time, so the database was there.
	lossesForgiven = 5
	// lossesKept is of how many messages losses are remembered.
	lossesKept = 10_000
)

// losses counts connections that broke under handlers, by message. A loss is no
// failure, or a restart of the database would be one of whatever was handled just
// then; but some message may be what breaks them.
type losses struct {
	mu sync.Mutex
	of map[uuid.UUID]int
}

// lost counts one more for each item, and gives the most that any of them has.
func (l *losses) lost(items []item) (most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.of)+len(items) > lossesKept {
		l.of = nil
	}
	if l.of == nil {
		l.of = map[uuid.UUID]int{}
	}
	for _, it := range items {
		l.of[it.e.ID]++
		most = max(most, l.of[it.e.ID])
	}
	return most
}

// kept forgets the losses of items whose connection held.
func (l *losses) kept(items []item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.of) == 0 {
		return
	}
	for _, it := range items {
		delete(l.of, it.e.ID)
	}
}

// judge makes the loss of a connection a failure once it has come too often in a
// row. Of several messages any may be the one; each is handled alone then.
func (l *losses) judge(items []item, err error, broke bool) error {
	if !broke || omnibox.ClassOf(err) != omnibox.ClassUnreachable {
		l.kept(items)
		return err
	}
	if n := l.lost(items); n > lossesForgiven {
		return omnibox.Transient(fmt.Errorf("the handler's connection to the database broke %d times in a row: %w", n, err))
	}
	return err
}
