package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
)

func handling() []InboxTest {
	return []InboxTest{
		{Name: "an event is complete with its work, and a settle that follows finds it so", Run: completedWithWork},
		{Name: "work that fails leaves its events as they were", Run: failedWork},
		{Name: "work does not run on what is final", Run: finalIsLeftOut},
		{Name: "with a lost lease no work runs", Run: lostLeaseNoWork},
		{Name: "of two owners of an event one works", Run: oneOfTwoWorks},
		{Name: "with delete a row goes with its work", Run: deletedWithWork},
		{Name: "a key that was held goes on when its event is complete", Run: heldKeyGoesOn},
	}
}

// counted is work that notes what it ran on.
type counted struct{ ids []string }

func (c *counted) work(_ context.Context, _ pgx.Tx, events []*omnibox.Event) error {
	for _, e := range events {
		c.ids = append(c.ids, e.Origin.MessageID)
	}
	return nil
}

func completedWithWork(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	land(t, w.inbox, messages(3)...)
	events := w.rest(t)
	var c counted
	require.NoError(t, w.inbox.Complete(t.Context(), nil, c.work))
	require.NoError(t, w.inbox.Complete(t.Context(), pointers(events[:1]), c.work))
	require.NoError(t, w.inbox.Complete(t.Context(), pointers(events[1:]), c.work))
	require.Equal(t, []string{"m0", "m1", "m2"}, c.ids, "in the order given")
	w.complete(t, events...)
	for _, e := range events {
		require.Equal(t, omnibox.StatusCompleted, row(t, s, e.ID).Status)
	}
	require.Empty(t, w.again(t))
}

// trap: 23
func failedWork(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	land(t, w.inbox, messages(2)...)
	events := w.rest(t)
	boom := omnibox.Permanent(errors.New("boom"))
	err := w.inbox.Complete(t.Context(), pointers(events), func(context.Context, pgx.Tx, []*omnibox.Event) error { return boom })
	require.Equal(t, boom, err, "as it is")
	for _, e := range events {
		require.Equal(t, omnibox.StatusPending, row(t, s, e.ID).Status)
	}
	require.Panics(t, func() {
		_ = w.inbox.Complete(t.Context(), pointers(events), func(context.Context, pgx.Tx, []*omnibox.Event) error { panic("boom") })
	})
	var c counted
	require.NoError(t, w.inbox.Complete(t.Context(), pointers(events), c.work))
	require.Len(t, c.ids, 2, "the second attempt runs")
}

func finalIsLeftOut(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	land(t, w.inbox, messages(3)...)
	events := w.rest(t)
	w.complete(t, events[0])
	w.settle(t, dead(&events[1]))
	var c counted
	require.NoError(t, w.inbox.Complete(t.Context(), pointers(events[:2]), c.work))
	require.Empty(t, c.ids)
	require.Equal(t, omnibox.StatusFailed, row(t, s, events[1].ID).Status)
	for range 2 {
		require.NoError(t, w.inbox.Complete(t.Context(), pointers(events), c.work))
		require.Equal(t, []string{"m2"}, c.ids)
	}
}

func lostLeaseNoWork(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	land(t, w.inbox, messages(2)...)
	events := w.rest(t)
	w.complete(t, events[0])
	s.Expire(t)
	heir := receive(t, s, config("w2"))
	taken := heir.rest(t)
	require.Equal(t, []string{"m1"}, messageIDs(taken))
	var c counted
	err := w.inbox.Complete(t.Context(), pointers(events), c.work)
	require.ErrorIs(t, err, omnibox.ErrLeaseLost)
	require.Empty(t, c.ids)
	require.Equal(t, omnibox.StatusPending, row(t, s, events[1].ID).Status)
	require.NoError(t, heir.inbox.Complete(t.Context(), pointers(taken), c.work))
	require.Equal(t, []string{"m1"}, c.ids)
}

// An owner that has stalled in the middle of its work is waited for.
//
// trap: 24
func oneOfTwoWorks(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	land(t, w.inbox, messages(2)...)
	events := w.rest(t)
	started, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var first, second counted
	go func() {
		ended <- w.inbox.Complete(t.Context(), pointers(events[:1]), func(ctx context.Context, tx pgx.Tx, some []*omnibox.Event) error {
			close(started)
			<-goOn
			return first.work(ctx, tx, some)
		})
	}()
	<-started
	s.Expire(t)
	heir := receive(t, s, config("w2"))
	taken := slices.DeleteFunc(heir.rest(t), func(e omnibox.Event) bool { return e.Origin.MessageID != "m0" })
	later := make(chan error, 1)
	if len(taken) > 0 { // where rows are leased, a locked one is passed over
		go func() { later <- heir.inbox.Complete(t.Context(), pointers(taken), second.work) }()
		require.Eventually(t, func() bool { return s.Blocked(t) || len(later) > 0 }, time.Minute, time.Millisecond)
	} else {
		later <- nil
	}
	close(goOn)
	require.NoError(t, <-ended)
	require.NoError(t, <-later)
	require.Equal(t, []string{"m0"}, append(first.ids, second.ids...))
	require.Equal(t, omnibox.StatusCompleted, row(t, s, events[0].ID).Status)
}

func deletedWithWork(t testing.TB, s InboxSystem) {
	cfg := config("w1")
	cfg.OnComplete = "delete"
	w := receive(t, s, cfg)
	land(t, w.inbox, messages(2)...)
	events := w.rest(t)
	var c counted
	for range 2 {
		require.NoError(t, w.inbox.Complete(t.Context(), pointers(events), c.work))
	}
	w.complete(t, events...)
	require.Len(t, c.ids, 2)
	for _, e := range events {
		_, there := s.Row(t, e.ID)
		require.False(t, there)
	}
}

func heldKeyGoesOn(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	land(t, w.inbox, messages(3)...)
	events := w.rest(t)
	failed := retry(&events[0])
	failed.Delay = 0
	w.settle(t, append(all(omnibox.Released, events[1:]), failed)...)
	again := w.again(t)
	require.Equal(t, []string{"m0"}, messageIDs(again))
	require.True(t, again[0].HoldsKey)
	var c counted
	require.NoError(t, w.inbox.Complete(t.Context(), pointers(again), c.work))
	w.complete(t, again...)
	require.Equal(t, []string{"m1", "m2"}, messageIDs(w.again(t)))
}
