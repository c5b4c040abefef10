package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
)

// Drains of several owners, one after the other and at the same time, with
// everything going wrong that may: steps, broker and database fail or stall at
// random, leases lapse, pauses and stops come. Then everything is well, and:
// no event is lost, first deliveries of a key are in order, each event has
// counted exactly the failures that were its own, was settled for good once, and
// was never handled again after it had succeeded under the same lease.
func TestNothingIsLostOrReordered(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if s := os.Getenv("OMNIBOX_TEST_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	for i := range uint64(40) {
		t.Run(fmt.Sprintf("OMNIBOX_TEST_SEED=%d", seed+i), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(seed + i)
				w.run(t)
				w.check(t)
			})
		})
	}
}

// world is one random run.
type world struct {
	*bed
	cfg     store.Config
	batch   int
	keys    []string
	events  []omnibox.Event
	plans   map[uuid.UUID]plan
	trouble int // percent of calls that go wrong

	mu        sync.Mutex
	rand      *rand.Rand
	over      bool           // no more trouble
	succeeded map[string]int // handled well, by event and fence
	final     map[uuid.UUID]int
	broken    []string
}

// plan of an event: what is its own fault.
type plan struct {
	failures  int  // counted ones before it succeeds
	inStep    bool // else the broker refuses
	permanent bool // the last of them
	skip      bool
	loose     bool // committed late or scheduled: it takes its place when it is there
}

func (p plan) dead() bool { return p.permanent || p.failures >= omnibox.DefaultMaxAttempts }

func newWorld(seed uint64) *world {
	w := &world{
		plans: map[uuid.UUID]plan{}, succeeded: map[string]int{}, final: map[uuid.UUID]int{},
		rand: rand.New(rand.NewPCG(seed, 0)),
		bed:  newBed(),
		cfg:  store.Config{Lease: 5 * time.Second, BehindFailure: "block", ReadAhead: 60},
	}
	if w.chance(40) {
		w.cfg.BehindFailure = "skip"
	}
	w.batch, w.trouble = 1+w.intn(20), w.intn(12)
	for i := range 1 + w.intn(6) {
		w.keys = append(w.keys, "k"+strconv.Itoa(i))
	}
	return w
}

// chance is true in n of 100 cases.
func (w *world) chance(n int) bool { return w.intn(100) < n }

func (w *world) intn(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

// wrong tells whether a call is to go wrong.
func (w *world) wrong() bool {
	w.mu.Lock()
	over := w.over
	w.mu.Unlock()
	return !over && w.chance(w.trouble)
}

// stall takes up to d, rarely much longer.
func (w *world) stall(d time.Duration) {
	if !w.wrong() {
		return
	}
	d = time.Duration(w.intn(int(d)))
	if w.chance(10) {
		d *= 10
	}
	time.Sleep(d)
}

func (w *world) run(t *testing.T) {
	t.Helper()
	stop := make(chan struct{})
	var owners sync.WaitGroup
	for i := range 2 {
		owners.Go(func() { w.own(t.Context(), fmt.Sprintf("owner%d", i), stop) })
	}
	for range 40 {
		w.write()
		switch {
		case w.chance(w.trouble / 2):
			w.table.Pause(true)
			time.AfterFunc(time.Second, func() { w.table.Pause(false) })
		case w.chance(w.trouble / 2):
			w.broker.SetDown(true)
			time.AfterFunc(time.Second, func() { w.broker.SetDown(false) })
		}
		time.Sleep(time.Duration(w.intn(500)) * time.Millisecond)
	}
	time.Sleep(time.Minute)
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	time.Sleep(30 * time.Minute) // all retries have come
	close(stop)
	owners.Wait()
	time.Sleep(5 * time.Minute) // steps that were given up on
}

// write writes some events, some of them late.
func (w *world) write() {
	for range w.intn(12) {
		e := event(w.keys[w.intn(len(w.keys))], len(w.events)+1)
		p := plan{inStep: w.chance(50), skip: w.chance(3)}
		if w.chance(10) && !p.skip {
			p.failures = 1 + w.intn(7)
			p.permanent = w.chance(30)
		}
		tx := w.table.Begin()
		switch {
		case w.chance(3):
			p.loose = true
			e.ScheduledAt = time.Now().Add(time.Duration(2+w.intn(20)) * time.Second)
		case w.chance(3):
			p.loose = true
			e = tx.Enqueue(e)[0]
			time.AfterFunc(time.Duration(w.intn(3000))*time.Millisecond, tx.Commit)
		}
		if e.Seq == 0 {
			e = w.table.Enqueue(e)[0]
		}
		w.mu.Lock()
		w.plans[e.ID] = p
		w.mu.Unlock()
		w.events = append(w.events, e)
	}
}

// own drains again and again, as a poller's activities do.
func (w *world) own(ctx context.Context, name string, stop <-chan struct{}) {
	cfg := w.cfg
	cfg.Owner = name
	strategy := &troubled{ports: &ports{Store: w.table.Open(cfg)}, world: w}
	p := pipeline.New(pipeline.Config{
		Name: name, Fetch: strategy, Commit: strategy, Handler: troubledHandler{w}, Steps: []pipeline.Step{troubledStep{w}},
		StepTimeout: 2 * time.Second, Retry: pipeline.Retry{Base: time.Second, Max: 10 * time.Second},
		Batch: w.batch, Lease: cfg.Lease, Log: quiet,
	})
	for {
		select {
		case <-stop:
			return
		default:
		}
		drainCtx, cancel := context.WithCancel(ctx)
		d := order()
		d.Linger, d.Slice = time.Second, 20*time.Second
		orderly := make(chan struct{})
		d.Stop = orderly
		if w.wrong() {
			d.Slice = time.Duration(1+w.intn(5000)) * time.Millisecond
		}
		if w.wrong() {
			time.AfterFunc(time.Duration(w.intn(5000))*time.Millisecond, cancel)
		}
		if w.wrong() {
			time.AfterFunc(time.Duration(w.intn(5000))*time.Millisecond, func() { close(orderly) })
		}
		_, _ = p.Drain(drainCtx, d)
		cancel()
		if _, err := p.WaitDue(ctx, pipeline.Wait{
			Slots: all(), For: time.Minute, Stop: stop, Due: strategy.Due,
			Wake: func(ctx context.Context) error { return sleep(ctx, time.Second) },
		}); err != nil {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *world) check(t *testing.T) {
	t.Helper()
	require.Empty(t, w.broken)
	for _, e := range w.events {
		p := w.plans[e.ID]
		r, ok := w.table.Row(e.ID)
		require.True(t, ok)
		require.Equal(t, 1, w.final[e.ID], "settled for good once: %d of %s", number(&e), e.Key)
		switch sent := slices.Contains(w.sent(e.Key), number(&e)); {
		case p.skip, p.dead():
			require.False(t, sent)
		default:
			require.True(t, sent, "lost: %d of %s", number(&e), e.Key)
		}
		if p.dead() {
			require.Equal(t, omnibox.StatusFailed, r.Status)
		} else {
			require.Equal(t, omnibox.StatusCompleted, r.Status)
			require.Equal(t, p.failures, r.Attempts, "%d of %s", number(&e), e.Key)
		}
	}
	for _, letter := range w.table.DeadLetters() {
		p := w.plans[letter.ID]
		require.True(t, p.dead())
		require.Equal(t, min(p.failures, omnibox.DefaultMaxAttempts), letter.Attempts)
	}
	for _, key := range w.keys {
		w.checkOrder(t, key)
	}
	require.Empty(t, w.table.Held())
}

// checkOrder looks at first deliveries, but for those of events that take their
// place late, or that later ones may overtake.
func (w *world) checkOrder(t *testing.T, key string) {
	t.Helper()
	strict := map[int]bool{}
	for _, e := range w.events {
		p := w.plans[e.ID]
		strict[number(&e)] = !p.loose && (p.failures == 0 || w.cfg.BehindFailure == "block")
	}
	sent := slices.DeleteFunc(firsts(w.sent(key)), func(n int) bool { return !strict[n] })
	require.True(t, slices.IsSorted(sent), "%s, %s: %v", w.cfg.BehindFailure, key, sent)
}
