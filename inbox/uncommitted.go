package inbox

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

// uncommitted are messages that were landed and whose offsets wait until they are
// handled, those of a partition in order of offset.
type uncommitted struct {
	mu         sync.Mutex
	partitions map[broker.Partition][]waiting
	n          int
}

type waiting struct {
	id     string
	offset int64
}

func newUncommitted() *uncommitted {
	return &uncommitted{partitions: map[broker.Partition][]waiting{}}
}

func (u *uncommitted) len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.n
}

// add puts messages behind those that wait. One that comes again, since its
// partition was given up meanwhile, takes the place of what waits from it on.
func (u *uncommitted) add(events []*omnibox.Event) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, e := range events {
		at := broker.Partition{Topic: e.Topic, ID: e.Origin.Partition}
		all := u.partitions[at]
		i, _ := slices.BinarySearchFunc(all, e.Origin.Offset, func(w waiting, offset int64) int { return cmp.Compare(w.offset, offset) })
		u.n += i + 1 - len(all)
		u.partitions[at] = append(all[:i], waiting{id: e.Origin.MessageID, offset: e.Origin.Offset})
	}
}

// keep forgets partitions that are not assigned any more. It asks under the lock, so
// that one whose messages are added meanwhile is not forgotten.
func (u *uncommitted) keep(status func() broker.ConsumerStatus) {
	u.mu.Lock()
	defer u.mu.Unlock()
	assigned := status().Assigned
	for at, all := range u.partitions {
		if !slices.ContainsFunc(assigned, func(a broker.Assignment) bool { return a.Partition == at }) {
			u.n -= len(all)
			delete(u.partitions, at)
		}
	}
}

// first are the ids of the next n messages of every partition, each once.
func (u *uncommitted) first(n int) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	ids := map[string]bool{}
	for _, all := range u.partitions {
		for _, w := range all[:min(n, len(all))] {
			ids[w.id] = true
		}
	}
	return slices.Collect(maps.Keys(ids))
}

// heads are the places of the first message of each partition.
func (u *uncommitted) heads() (places []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for at, all := range u.partitions {
		if len(all) > 0 {
			places = append(places, fmt.Sprintf("%s:%d:%d", at.Topic, at.ID, all[0].offset))
		}
	}
	slices.Sort(places)
	return places
}

// drop forgets what is settled up to the first message of each partition that is
// not, and returns the offsets up to which that is.
func (u *uncommitted) drop(settled map[string]bool) map[broker.Partition]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	done := map[broker.Partition]int64{}
	for at, all := range u.partitions {
		n := 0
		for n < len(all) && settled[all[n].id] {
			n++
		}
		if n > 0 {
			done[at] = all[n-1].offset
			u.partitions[at] = slices.Clone(all[n:])
			u.n -= n
		}
	}
	return done
}
