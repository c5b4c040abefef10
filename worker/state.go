package worker

import (
	"sync"

	"github.com/omnibox-go/omnibox/store"
)

const (
	phaseRunning = "running"
	phaseAlone   = "relaying without Temporal"
)

// state is what a box is at, for people and for /readyz.
type state struct {
	mu  sync.Mutex
	now status
}

// status of a box at one time.
type status struct {
	phase string
	err   error
	ready bool         // it runs, and its database answers
	alone bool         // it runs without Temporal
	down  error        // why the database does not
	store *store.Store // nil until the table has been found
}

func newState() *state { return &state{now: status{phase: "starting"}} }

func (s *state) set(phase string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.phase, s.now.err = phase, err
}

// database notes why the database does not answer; nil if it does.
func (s *state) database(down error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.down = down
}

// direct notes whether the worker relays without Temporal.
func (s *state) direct(alone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.alone = alone
}

func (s *state) opened(st *store.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.store = st
}

func (s *state) get() status {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now
	now.ready = (now.phase == phaseRunning || now.alone) && now.down == nil
	if now.alone {
		now.phase = phaseAlone
	}
	if now.err == nil {
		now.err = now.down
	}
	return now
}
