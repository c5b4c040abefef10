package pipeline

import (
	"sync/atomic"
	"time"
)

// lull is a time in which no event gets a workflow of its own. What a step stops, and
// what cannot be reached though the destination as a whole answers, is due again at
// once: a workflow would be started for it again and again, where a drain waits.
type lull struct{ until atomic.Int64 } // in nanoseconds

func (l *lull) begin()      { l.until.Store(time.Now().Add(avoidFor).UnixNano()) }
func (l *lull) lasts() bool { return time.Now().UnixNano() < l.until.Load() }
