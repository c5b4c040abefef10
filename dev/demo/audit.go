package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

var (
	errBusy   = errors.New("the audit service is busy")
	errNoRule = errors.New("the audit has no rule for this kind of money")
)

// audit is a step of the service's own: it notes each order before its event
// is sent. It runs again on every attempt, so noting twice must change nothing.
type audit struct {
	mu         sync.Mutex
	currencies map[string]bool
	busy       map[uuid.UUID]int // how often a step still has to fail, by order
	noted      map[uuid.UUID]bool
}

func newAudit() *audit {
	return &audit{
		currencies: map[string]bool{"EUR": true},
		busy:       map[uuid.UUID]int{},
		noted:      map[uuid.UUID]bool{},
	}
}

// Spec names the step; its name is in errors and in the dead letter.
func (a *audit) Spec() pipeline.Spec { return pipeline.Spec{Name: "audit", Timeout: 2 * time.Second} }

// Run notes an order. A busy service is worth another attempt, and so is a missing
// rule, which somebody may add; an order that cannot be read is not.
func (a *audit) Run(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
	var o orderPlaced
	if err := json.Unmarshal(e.Payload.(json.RawMessage), &o); err != nil {
		return pipeline.Next, omnibox.Permanent(fmt.Errorf("read order: %w", err))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy[o.Order] > 0 {
		a.busy[o.Order]--
		return pipeline.Next, errBusy
	}
	if !a.currencies[o.Currency] {
		return pipeline.Next, errNoRule
	}
	a.noted[o.Order] = true
	return pipeline.Next, nil
}

// failFor makes the step fail the next times that it gets an order.
func (a *audit) failFor(order uuid.UUID, times int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy[order] = times
}

// learn mends the step: from now on it knows a currency.
func (a *audit) learn(currency string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.currencies[currency] = true
}

// count is how many orders were noted.
func (a *audit) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.noted)
}
