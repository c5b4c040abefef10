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

const (
	// scanTimeout bounds a look: a database may take a question and not answer.
	scanTimeout = 5 * time.Second
	// outageAfter is for how long every look must fail until the database counts
	// as down: less than that takes a failover.
	outageAfter = 5 * time.Second
)

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

// scan wakes those who wait for slots in which something is due. It looks where
// nobody waits, too: that is how a worker notices that its database is down, and
// tells it with an error, and with nil once it answers again.
func (r *rows) scan(ctx context.Context, database func(error)) {
	tick := time.NewTicker(scanEvery)
	defer tick.Stop()
	var failing time.Time // since when every look failed; zero when the last did not
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		due, err := r.look(ctx)
		switch {
		case err == nil:
			failing = time.Time{}
			database(nil)
			r.watcher.Wake(due)
			continue
		case ctx.Err() != nil:
			return
		case failing.IsZero():
			failing = began
		}
		r.log.WarnContext(ctx, "look for due events", slog.Any("error", err))
		if time.Since(failing) >= outageAfter {
			database(err)
		}
	}
}

func (r *rows) look(ctx context.Context) ([]int, error) {
	r.mu.Lock()
	slots := keys(r.waiting)
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	return r.store.Due(ctx, slots)
}
