package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/workflows"
)

// A pause is the same whoever asks for it, a signal or the store, and lasts until
// it is ended.
func TestAPipelineIsPausedAndResumedBySignalAndByStore(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.start().awaitReady()
	c := b.temporal()
	b.enqueue(event("k", 1))
	b.awaitRecords(1)

	require.NoError(t, c.SignalWorkflow(t.Context(), b.poller(1), "", workflows.SignalPause, workflows.PauseSignal{By: "ann", Reason: "look"}))
	b.awaitPaused("ann: look")
	b.enqueue(event("k", 2))
	b.nothingComes(1)
	require.NoError(t, c.SignalWorkflow(t.Context(), b.poller(0), "", workflows.SignalResume, workflows.PauseSignal{By: "ann"}))
	b.awaitRecords(2)

	s := b.store()
	_, err := s.Pause(t.Context(), store.PauseParams{By: "bob", Reason: "lunch"})
	require.NoError(t, err)
	b.awaitPaused("bob: lunch")
	b.enqueue(event("k", 3))
	b.nothingComes(2)
	_, err = s.Resume(t.Context())
	require.NoError(t, err)
	require.Equal(t, series("k", 1, 3), b.awaitRecords(3))
}

// A paused key waits with all that is written meanwhile, and no other does.
func TestAPausedKeyWaitsAlone(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.start().awaitReady()
	s := b.store()
	key := omnibox.OrderKey{Topic: topic, Key: "k"}
	_, err := s.PauseKey(t.Context(), store.PauseKeyParams{Key: key, By: "ann"})
	require.NoError(t, err)
	b.enqueue(event("k", 1), event("other", 1), event("k", 2))
	require.Equal(t, []string{"other/1"}, b.awaitRecords(1))
	b.enqueue(event("other", 2))
	require.Equal(t, series("other", 1, 2), b.awaitRecords(2))
	_, err = s.ResumeKey(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, series("k", 1, 2), only("k", b.awaitRecords(4)))
	require.Zero(t, ask[int](b, "select count(*) from omnibox.holds"))
}

// awaitPaused waits until a pause is written and those at work have stopped.
func (b *bed) awaitPaused(by string) {
	b.t.Helper()
	eventually(b.t, "paused by "+by, func() bool {
		return ask[int](b, "select count(*) from omnibox.pipelines where paused_by || ': ' || pause_reason = $1", by) == 1 &&
			ask[int](b, "select count(*) from omnibox.slots where lease_until > now()") == 0
	})
}

// nothingComes requires that there are n records for longer than a worker takes to
// look again.
func (b *bed) nothingComes(n int) {
	b.t.Helper()
	require.Never(b.t, func() bool { return len(b.records()) != n }, 1500*time.Millisecond, 50*time.Millisecond)
}
