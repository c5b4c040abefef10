package worker

import (
	"sync"

	"github.com/omnibox-go/omnibox/store"
)

const phaseRunning = "running"

// state is what a box is at, for people and for /readyz.
type state struct {
	mu  sync.Mutex
	now status
}

// status of a box at one time.
type status struct {
	phase string
	err   error
	ready bool
	store *store.Store // nil until the table has been found
}

func newState() *state { return &state{now: status{phase: "starting"}} }

func (s *state) set(phase string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.phase, s.now.err, s.now.ready = phase, err, phase == phaseRunning
}

func (s *state) opened(st *store.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.store = st
}

func (s *state) get() status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}
