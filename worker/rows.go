package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// rows is what the activities ask of a table: to be told when to look, and to
// pause. Those who wait are woken by the database's notifications and by a scan.
type rows struct {
	store   *store.Store
	watcher *store.Watcher
	log     *slog.Logger

	mu sync.Mutex
	// a shard's subscription outlives its waits, so that no wake-up falls
	// between a look and the next wait
	shards  map[int]*store.Subscription // by first slot and number of slots
	waiting map[int]int                 // how many wait for a slot
}

// scanEvery finds what no notification tells of: events whose time has come,
// and all where notifications do not get through. One statement a second is
// what an idle process costs.
const scanEvery = time.Second

func newRows(s *store.Store, w *store.Watcher, log *slog.Logger) *rows {
	return &rows{store: s, watcher: w, log: log, shards: map[int]*store.Subscription{}, waiting: map[int]int{}}
}

// Due gives those of slots in which something is due.
func (r *rows) Due(ctx context.Context, slots []int) ([]int, error) { return r.store.Due(ctx, slots) }

// Pause pauses the pipeline for every worker.
func (r *rows) Pause(ctx context.Context, by, reason string) error {
	_, err := r.store.Pause(ctx, store.PauseParams{By: by, Reason: reason})
	return err
}

// Resume ends a pause.
func (r *rows) Resume(ctx context.Context, _ string) error {
	_, err := r.store.Resume(ctx)
	return err
}

// Wake blocks until something may be due in some of slots, and tells in which:
// without slots until ctx ends.
func (r *rows) Wake(ctx context.Context, slots []int) ([]int, error) {
	if len(slots) == 0 {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	if r.watcher.Quiet() { // too much is written for notifications: look often
		select {
		case <-time.After(store.QuietPoll):
			return slots, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	sub := r.enter(slots)
	defer r.leave(slots)
	return sub.Wait(ctx)
}

func (r *rows) enter(slots []int) *store.Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range slots {
		r.waiting[s]++
	}
	id := slots[0]*omnibox.Slots + len(slots)
	if r.shards[id] == nil {
		r.shards[id] = r.watcher.Subscribe(slots)
	}
	return r.shards[id]
}

func (r *rows) leave(slots []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range slots {
		if r.waiting[s]--; r.waiting[s] == 0 {
			delete(r.waiting, s)
		}
	}
}

// scan wakes those who wait for slots in which something is due.
func (r *rows) scan(ctx context.Context) {
	tick := time.NewTicker(scanEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		r.mu.Lock()
		slots := keys(r.waiting)
		r.mu.Unlock()
		if len(slots) == 0 {
			continue
		}
		due, err := r.store.Due(ctx, slots)
		if err != nil {
			if ctx.Err() == nil {
				r.log.WarnContext(ctx, "look for due events", slog.Any("error", err))
			}
			continue
		}
		r.watcher.Wake(due)
	}
}
