package faults

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Entry is an event that was committed for certain.
type Entry struct {
	ID  uuid.UUID
	Key string
	// N counts the events of the key, from 1, in the order of their transactions.
	N int
	// Seq is what the table numbered it with.
	Seq int64
	// At is when the producer learned that it was committed.
	At time.Time
}

// Ledger knows what was committed. It is safe for concurrent use.
type Ledger struct {
	mu         sync.Mutex
	byKey      map[string][]Entry
	rolledBack []uuid.UUID
	count      int
}

// NewLedger makes an empty one.
func NewLedger() *Ledger { return &Ledger{byKey: map[string][]Entry{}} }

// Commit enters events that were committed together.
func (l *Ledger) Commit(entries ...Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		l.byKey[e.Key] = append(l.byKey[e.Key], e)
	}
	l.count += len(entries)
}

// RollBack enters events that must never be seen.
func (l *Ledger) RollBack(ids ...uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rolledBack = append(l.rolledBack, ids...)
}

// Len is how many events were committed.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// Keys that have events, sorted.
func (l *Ledger) Keys() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.byKey))
}

// Of gives the events of a key in order.
func (l *Ledger) Of(key string) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.byKey[key])
}

// Latest gives the N of each key's latest event.
func (l *Ledger) Latest() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]int, len(l.byKey))
	for key, entries := range l.byKey {
		out[key] = entries[len(entries)-1].N
	}
	return out
}

// RolledBack gives the events that must never be seen.
func (l *Ledger) RolledBack() []uuid.UUID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.rolledBack)
}
