package memstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// Table is a table of events with its leases, holds and dead letters: what the
// stores of several workers share. It is safe for concurrent use.
type Table struct {
	mu     sync.Mutex
	rows   []*row // by seq
	seq    int64
	slots  [omnibox.Slots]lease
	holds  map[omnibox.OrderKey]map[string]uuid.UUID // event by reason; none of a paused key
	dead   []DeadLetter
	paused bool
	budget bucket
	broken flaw // only tests break it

	messages map[message]uuid.UUID       // rows by what was landed, for ever
	locked   map[uuid.UUID]chan struct{} // rows that a Complete works on, closed when it ends
	waiting  int                         // for those rows
}

// lease of a slot.
type lease struct {
	token int64
	owner string
	until time.Time
	dirty bool
}

// row of the table. The event's Fence is empty but for the slot.
type row struct {
	Row
	held  bool
	waits time.Time // until when, where ScheduledAt cannot say it
	token int64     // of its last lease
}

// Row is what a table keeps of an event.
type Row struct {
	omnibox.Event
	Status      omnibox.Status
	LastError   string
	Class       omnibox.Class
	CompletedAt time.Time
	// LeaseUntil is the end of its lease by a workflow; zero if it has none.
	LeaseUntil time.Time
}

// DeadLetter of an event that was given up.
type DeadLetter struct {
	omnibox.Ref
	Class    omnibox.Class
	Error    string
	Attempts int // the true number
	Open     bool

	parkedUntil time.Time
}

// New makes an empty table.
func New() *Table {
	return &Table{
		holds:    map[omnibox.OrderKey]map[string]uuid.UUID{},
		messages: map[message]uuid.UUID{}, locked: map[uuid.UUID]chan struct{}{},
	}
}

// Open makes a worker's side of the table. Of cfg it uses Owner, Lease,
// Ordering, BehindFailure, OnComplete, ReadAhead, MaxFetchBytes, Escalation and, for
// what is landed, Group, with the defaults of package store. All groups of a table
// are fetched.
func (t *Table) Open(cfg store.Config) *Store {
	return &Store{table: t, cfg: cfg.WithDefaults()}
}

// Tx is a transaction that writes events: they have their place in the order
// from Enqueue on and are seen once it commits.
type Tx struct {
	table *Table
	rows  []*row
}

// Begin begins a transaction.
func (t *Table) Begin() *Tx { return &Tx{table: t} }

// Enqueue writes events in a transaction of its own, and returns them as rows
// have them.
func (t *Table) Enqueue(events ...omnibox.Event) []omnibox.Event {
	tx := t.Begin()
	written := tx.Enqueue(events...)
	tx.Commit()
	return written
}

// Enqueue gives events their ids and places.
func (tx *Tx) Enqueue(events ...omnibox.Event) []omnibox.Event {
	tx.table.mu.Lock()
	defer tx.table.mu.Unlock()
	now := time.Now().Truncate(time.Microsecond)
	written := make([]omnibox.Event, len(events))
	for i, e := range events {
		tx.table.seq++
		r := newRow(e, tx.table.seq, now)
		tx.rows = append(tx.rows, r)
		written[i] = r.Event
	}
	return written
}

func newRow(e omnibox.Event, seq int64, now time.Time) *row {
	if e.ID == uuid.Nil {
		e.ID = uuid.New()
	}
	if e.ScheduledAt.IsZero() {
		e.ScheduledAt = now
	}
	if e.MaxAttempts == 0 {
		e.MaxAttempts = omnibox.DefaultMaxAttempts
	}
	e.CreatedAt, e.Seq = now, seq
	e.Payload = payloadOf(e)
	e.Fence.Slot = SlotOf(e.OrderKey())
	return &row{Row: Row{Event: e, Status: omnibox.StatusPending}}
}

func payloadOf(e omnibox.Event) json.RawMessage {
	if e.Payload == nil { // as package store writes it beside a body
		return json.RawMessage(fmt.Sprintf(`{"content_type":%q}`, e.ContentType))
	}
	text, err := json.Marshal(e.Payload)
	if err != nil {
		panic(fmt.Errorf("payload of a test's event: %w", err))
	}
	var compact bytes.Buffer
	_ = json.Compact(&compact, text) // what Marshal returns is JSON
	return compact.Bytes()
}

// SlotOf is the slot of a key; not the one that Postgres would give it.
func SlotOf(k omnibox.OrderKey) int {
	h := fnv.New32a()
	h.Write([]byte(k.Topic + "\x00" + k.Key))
	return int(h.Sum32() % omnibox.Slots)
}

// Commit makes the events visible.
func (tx *Tx) Commit() {
	tx.table.mu.Lock()
	defer tx.table.mu.Unlock()
	tx.table.rows = append(tx.table.rows, tx.rows...)
	slices.SortFunc(tx.table.rows, func(a, b *row) int { return int(a.Seq - b.Seq) })
	tx.rows = nil
}

// Rows are all rows, in order of seq.
func (t *Table) Rows() []Row {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Row, len(t.rows))
	for i, r := range t.rows {
		out[i] = r.Row
	}
	return out
}

// Row finds a row.
func (t *Table) Row(id uuid.UUID) (Row, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.find(id); r != nil {
		return r.Row, true
	}
	return Row{}, false
}

func (t *Table) find(id uuid.UUID) *row {
	for _, r := range t.rows {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// DeadLetters are those of all times, the oldest first.
func (t *Table) DeadLetters() []DeadLetter {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.dead)
}

// Held are the keys that something holds, and the reasons.
func (t *Table) Held() map[omnibox.OrderKey][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := map[omnibox.OrderKey][]string{}
	for key, reasons := range t.holds {
		held[key] = slices.Sorted(maps.Keys(reasons))
	}
	return held
}
