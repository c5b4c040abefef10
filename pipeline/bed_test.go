package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/membroker"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/memstore"
)

const topic = "orders"

// bed is a table, a broker and what a pipeline between them is made of.
type bed struct {
	table  *memstore.Table
	broker *membroker.Broker
	ports  *ports
	sink   *broker.Sink
	cfg    pipeline.Config
}

func newBed() *bed { return newBedOn(store.Config{Owner: "a"}) }

func newBedOn(cfg store.Config) *bed {
	b := &bed{table: memstore.New(), broker: membroker.New()}
	b.ports = &ports{Store: b.table.Open(cfg)}
	b.sink = broker.NewSink(b.broker, broker.Raw{})
	b.cfg = pipeline.Config{
		Name: "orders", Fetch: b.ports, Commit: b.ports, Log: quiet,
		Handler: b.sink, Retry: pipeline.Retry{Base: 10 * time.Second},
	}
	return b
}

// ports is a store that a test can hook into.
type ports struct {
	*memstore.Store
	fetch   func(c omnibox.Claim)                           // before each fetch
	after   func(events []omnibox.Event)                    // after each fetch
	extend  func() error                                    // before each extend
	mark    func(events []*omnibox.Event)                   // after each mark
	commit  func(outcomes []omnibox.Outcome) error          // before each commit
	written func(outcomes []omnibox.Outcome, e error) error // after each commit
	keep    func() bool                                     // true keeps the leases at the end
}

func (p *ports) Claim(ctx context.Context, slots []int) (omnibox.Claim, error) {
	c, err := p.Store.Claim(ctx, slots)
	return &hookedClaim{Claim: c, ports: p}, err
}

func (p *ports) Commit(ctx context.Context, outcomes []omnibox.Outcome) error {
	if p.commit != nil {
		if err := p.commit(outcomes); err != nil {
			return err
		}
	}
	err := p.Store.Commit(ctx, outcomes)
	if p.written != nil {
		return p.written(outcomes, err)
	}
	return err
}

type hookedClaim struct {
	omnibox.Claim
	*ports
}

func (c *hookedClaim) Fetch(ctx context.Context, n int) ([]omnibox.Event, bool, error) {
	if c.fetch != nil {
		c.fetch(c.Claim)
	}
	events, more, err := c.Claim.Fetch(ctx, n)
	if c.after != nil {
		c.after(events)
	}
	return events, more, err
}

func (c *hookedClaim) Extend(ctx context.Context) error {
	if c.extend != nil {
		if err := c.extend(); err != nil {
			return err
		}
	}
	return c.Claim.Extend(ctx)
}

func (c *hookedClaim) Mark(ctx context.Context, events []*omnibox.Event) error {
	err := c.Claim.Mark(ctx, events)
	if c.mark != nil {
		c.mark(events)
	}
	return err
}

func (c *hookedClaim) Release(ctx context.Context) error {
	if c.keep != nil && c.keep() {
		return nil
	}
	return c.Claim.Release(ctx)
}

// all are all slots.
func all() []int {
	slots := make([]int, omnibox.Slots)
	for i := range slots {
		slots[i] = i
	}
	return slots
}

// asleep is a Wake of a database without notifications.
func asleep(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func order() pipeline.Drain {
	return pipeline.Drain{Slots: all(), Slice: 10 * time.Minute, Linger: time.Second, Wake: func(ctx context.Context) ([]int, error) {
		return nil, asleep(ctx)
	}}
}

// drain drains with every change that mods make.
func (b *bed) drain(t *testing.T, mods ...func(*pipeline.Drain)) pipeline.Report {
	t.Helper()
	d := order()
	for _, mod := range mods {
		mod(&d)
	}
	report, err := pipeline.New(b.cfg).Drain(t.Context(), d)
	require.NoError(t, err)
	return report
}

type body struct {
	N int `json:"n"`
}

// event number n of a key.
func event(key string, n int) omnibox.Event {
	return omnibox.Event{Topic: topic, Key: key, Type: "order.placed", Payload: body{n}}
}

// enqueue writes events first to last of each key, one key after the other for
// each number.
func (b *bed) enqueue(first, last int, keys ...string) []omnibox.Event {
	var events []omnibox.Event
	for n := first; n <= last; n++ {
		for _, key := range keys {
			events = append(events, event(key, n))
		}
	}
	return b.table.Enqueue(events...)
}

// number of an event.
func number(e *omnibox.Event) int {
	raw, _ := e.Payload.(json.RawMessage)
	return numberIn(raw)
}

func numberIn(raw []byte) int {
	var v body
	if err := json.Unmarshal(raw, &v); err != nil {
		panic(err)
	}
	return v.N
}

// sent are the numbers of a key's events in the order of the broker.
func (b *bed) sent(key string) []int {
	var sent []int
	for _, r := range b.broker.Records(topic) {
		if string(r.Key) == key {
			sent = append(sent, numberIn(r.Value))
		}
	}
	return sent
}

// firsts leaves out what was sent again.
func firsts(sent []int) []int {
	var out []int
	for _, n := range sent {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i + 1
	}
	return out
}

func (b *bed) row(t *testing.T, id uuid.UUID) memstore.Row {
	t.Helper()
	r, ok := b.table.Row(id)
	require.True(t, ok)
	return r
}

// untouched checks that events are pending, uncounted, and can be fetched at
// once and without suspicion.
func (b *bed) untouched(t *testing.T, events []omnibox.Event) {
	t.Helper()
	for _, e := range events {
		r := b.row(t, e.ID)
		require.Equal(t, omnibox.StatusPending, r.Status)
		require.Zero(t, r.Attempts)
		require.Zero(t, r.Fetches)
	}
	c, err := b.table.Open(store.Config{Owner: "next"}).Claim(t.Context(), all())
	require.NoError(t, err)
	require.Len(t, c.Slots(), omnibox.Slots, "slots are free at once")
	got, _, err := c.Fetch(t.Context(), len(events)+1)
	require.NoError(t, err)
	require.Len(t, got, len(events))
	for _, e := range got {
		require.False(t, e.Suspect, "the slot was left clean")
	}
	require.NoError(t, c.Release(t.Context()))
}

// stepFunc is a step made of a function.
type stepFunc struct {
	spec pipeline.Spec
	run  func(ctx context.Context, e *omnibox.Event) (pipeline.Result, error)
}

func (s stepFunc) Spec() pipeline.Spec { return s.spec }

func (s stepFunc) Run(ctx context.Context, e *omnibox.Event) (pipeline.Result, error) {
	return s.run(ctx, e)
}

// step appends a step called "user".
func (b *bed) step(run func(ctx context.Context, e *omnibox.Event) (pipeline.Result, error)) {
	b.cfg.Steps = append(b.cfg.Steps, stepFunc{pipeline.Spec{Name: "user"}, run})
}

// failing makes a step that returns err for event n of a key, the first times
// times.
func (b *bed) failing(key string, n, times int, err error) {
	b.step(func(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
		if e.Key == key && number(e) == n && times > 0 {
			times--
			return pipeline.Next, err
		}
		return pipeline.Next, nil
	})
}

// refuse makes the broker refuse event n of key a, once.
func (b *bed) refuse(n int, err error) {
	refused := false
	b.broker.SetRefuse(func(r broker.Record) error {
		if refused || string(r.Key) != "a" || numberIn(r.Value) != n {
			return nil
		}
		refused = true
		return err
	})
}

var errBad = errors.New("bad")

// handleFunc is a handler whose destination can always be reached.
type handleFunc func(ctx context.Context, events []*omnibox.Event) []error

func (f handleFunc) Handle(ctx context.Context, events []*omnibox.Event) []error {
	return f(ctx, events)
}

func (handleFunc) Probe(context.Context) error { return nil }
