package worker

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

// A shard that is gone has no slots, and those who work for it may still wait.
func TestWithoutSlotsNothingWakes(t *testing.T) {
	t.Parallel()
	over := errors.New("over")
	ctx, end := context.WithCancelCause(t.Context())
	r := newRows(nil, &store.Watcher{}, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() {
		_, err := r.Wake(ctx, nil)
		done <- err
	}()
	end(over)
	require.ErrorIs(t, <-done, over)
}
