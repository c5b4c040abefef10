package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/omnibox-go/omnibox"
)

// Wait says what to wait for.
type Wait struct {
	Slots []int
	// For is how long to wait at most.
	For time.Duration
	// Stop ends the wait early.
	Stop <-chan struct{}
	// Wake blocks until something may be due in one of Slots, or ctx ends.
	Wake func(ctx context.Context) error
	// Due gives those of slots in which something is due. It may err on the
	// side of saying yes. ErrPaused while the pipeline is paused.
	Due func(ctx context.Context, slots []int) ([]int, error)
}

// WaitDue blocks until the destination is reachable and something is due in
// the slots, and returns true; or until the time is up, and returns false.
// While the pipeline is paused nothing is due.
func (p *Pipeline) WaitDue(ctx context.Context, in Wait) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, in.For, errWaited)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-in.Stop:
			stop(errWaited)
		case <-ctx.Done():
		}
	}()
	for {
		due, err := p.look(ctx, in)
		switch {
		case due:
			return true, nil
		case errors.Is(context.Cause(ctx), errWaited):
			return false, nil
		case err != nil:
			return false, err
		}
	}
}

var errWaited = errors.New("waited long enough")

// look asks once, and if nothing is due waits to be woken.
func (p *Pipeline) look(ctx context.Context, in Wait) (bool, error) {
	if err := p.Breaker.Await(ctx); err != nil {
		return false, err
	}
	due, err := in.Due(ctx, in.Slots)
	if err != nil && !errors.Is(err, omnibox.ErrPaused) {
		return false, fmt.Errorf("look for due events: %w", err)
	}
	if len(due) > 0 {
		return true, nil
	}
	return false, in.Wake(ctx)
}
