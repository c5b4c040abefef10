// Package storetest is the contract of a store of events as executable tests:
// one guarantee a test, named by its sentence. A store that passes it can stand
// behind every pipeline. Package store passes it in both claim modes, and so
// does package memstore, which is why pipelines may be tested on that.
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// System is one empty table of events under test. The methods that take a
// testing.TB fail the test when something goes wrong.
type System interface {
	// Open makes a worker's side of the table. The claim mode, the table and
	// the pipeline are the system's.
	Open(t testing.TB, cfg store.Config) Store
	// Lane opens the workflow lane's side of the table through a store that Open
	// made.
	Lane(t testing.TB, s Store, cfg store.LaneConfig) Lane
	// ClaimsRows tells whether rows rather than slots are leased.
	ClaimsRows() bool
	// Begin begins a transaction of a producer. Several may be open at once.
	Begin(t testing.TB) Tx
	// Expire makes every lease run out now.
	Expire(t testing.TB)
	// Elapse moves all times of the rows, and of what workflows are counted by,
	// into the past, as if d had gone by. Leases stay. Nothing is in hand then.
	Elapse(t testing.TB, d time.Duration)
	// Row finds a row.
	Row(t testing.TB, id uuid.UUID) (Row, bool)
	// DeadLetters are those of all times, the oldest first.
	DeadLetters(t testing.TB) []DeadLetter
	// Pause stops the pipeline or lets it go on.
	Pause(t testing.TB, paused bool)
	// HoldKey and FreeKey pause one key.
	HoldKey(t testing.TB, key omnibox.OrderKey)
	FreeKey(t testing.TB, key omnibox.OrderKey)
	// Replay puts a dead event back, Discard gives it up.
	Replay(t testing.TB, id uuid.UUID)
	Discard(t testing.TB, id uuid.UUID)
}

// Store is a worker's side of the table.
type Store interface {
	omnibox.FetchStrategy
	omnibox.CommitStrategy
	Due(ctx context.Context, slots []int) ([]int, error)
}

// Lane is the workflow lane's side of the table.
type Lane interface {
	omnibox.CommitStrategy
	Suspects(ctx context.Context, slots []int) (bool, error)
	Assign(ctx context.Context, events []*omnibox.Event) ([]*omnibox.Event, error)
	Begin(ctx context.Context, ref omnibox.Ref, fence omnibox.Fence) (*omnibox.Event, time.Time, error)
	Extend(ctx context.Context, e *omnibox.Event) (time.Time, error)
	GiveBack(ctx context.Context, ref omnibox.Ref, fence omnibox.Fence) error
	Replay(ctx context.Context, ref omnibox.Ref, by string) (omnibox.Fence, error)
	Discard(ctx context.Context, ref omnibox.Ref, by, note string) error
}

// Tx writes events.
type Tx interface {
	Enqueue(t testing.TB, events ...omnibox.Event) []uuid.UUID
	Commit(t testing.TB)
}

// Row is what the tests ask of a row.
type Row struct {
	Status                         omnibox.Status
	Attempts, MaxAttempts, Fetches int
	LastError                      string
	Class                          omnibox.Class
	ScheduledAt                    time.Time
	// LeaseUntil is the end of the row's own lease; zero if it has none.
	LeaseUntil time.Time
}

// DeadLetter is what the tests ask of a dead letter.
type DeadLetter struct {
	ID       uuid.UUID
	Class    omnibox.Class
	Error    string
	Attempts int
	Open     bool
}

// Test is one guarantee.
type Test struct {
	Name string
	Run  func(t testing.TB, s System)
	// Slots says that it is about leases of slots.
	Slots bool
}

// Tests are all guarantees.
func Tests() []Test {
	var all []Test
	for _, group := range [][]Test{fetching(), ordering(), leasing(), suspecting(), settling(), failing(), holding(), assigning(), working(), escalating()} {
		all = append(all, group...)
	}
	return all
}

// Run runs every guarantee against a system of its own. open may run in
// parallel.
func Run(t *testing.T, open func(t testing.TB) System) {
	t.Helper()
	for _, test := range Tests() {
		t.Run(test.Name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			if test.Slots && s.ClaimsRows() {
				t.Skip("leases rows")
			}
			test.Run(t, s)
		})
	}
}
