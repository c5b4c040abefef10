package storetest

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
)

func failing() []Test {
	return []Test{
		{Name: "a counted failure is counted and comes again after its delay", Run: countedRetry},
		{Name: "a failure that does not count leaves the attempts", Run: uncountedRetry},
		{Name: "a pending event has attempts left", Run: attemptsLeft},
		{Name: "a dead event has one dead letter with the true attempts", Run: deadLetter},
		{Name: "a dead event sets its key free", Run: deadFrees},
		{Name: "a replayed event is delivered, and may die again", Run: replayed},
		{Name: "an error is cut to fit and never blank", Run: errorsFit},
		{Name: "an event is due at most a year after its creation", Run: atMostAYear},
		{Name: "an event of more than a year backs off too", Run: oldBacksOff},
	}
}

func countedRetry(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	w.settle(t, retry(&events[0]))
	got := row(t, s, id)
	require.Equal(t, omnibox.StatusPending, got.Status)
	require.Equal(t, 1, got.Attempts)
	require.Equal(t, "boom", got.LastError)
	require.Equal(t, omnibox.ClassTransient, got.Class)
	require.WithinDuration(t, time.Now().Add(time.Minute), got.ScheduledAt, 20*time.Second)
	require.Empty(t, w.again(t))
	s.Elapse(t, 2*time.Minute)
	events = w.again(t)
	require.Len(t, events, 1)
	require.Equal(t, 1, events[0].Attempts)
}

func uncountedRetry(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	out := retry(&events[0])
	out.Counted = false
	w.settle(t, out)
	require.Zero(t, row(t, s, id).Attempts)
	require.Empty(t, w.again(t))
}

func attemptsLeft(t testing.TB, s System) {
	in := event("a")
	in.MaxAttempts = 2
	id := write(t, s, in)[0]
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	out := retry(&events[0])
	out.Attempts = 5 // the policy has been made more patient since
	w.settle(t, out)
	got := row(t, s, id)
	require.Equal(t, 5, got.Attempts)
	require.Greater(t, got.MaxAttempts, got.Attempts)
}

func deadLetter(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	w.settle(t, dead(&events[0]))
	got := row(t, s, id)
	require.Equal(t, omnibox.StatusFailed, got.Status)
	require.Equal(t, got.MaxAttempts, got.Attempts, "as omni-box has failed rows")
	require.Equal(t, []DeadLetter{{ID: id, Class: omnibox.ClassPermanent, Error: "never", Attempts: 1, Open: true}}, s.DeadLetters(t))
	require.Empty(t, w.again(t))
}

func deadFrees(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a", "a")
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	w.settle(t, retry(&events[0]))
	w.settle(t, all(omnibox.Released, events[1:])...)
	require.Empty(t, w.again(t)) // marks those behind as held
	s.Elapse(t, 2*time.Minute)
	events = w.again(t)
	require.Len(t, events, 1)
	w.settle(t, dead(&events[0]))
	require.Equal(t, written[1:], ids(w.again(t)))
}

func replayed(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w := hire(t, s, config("w1"))
	for n := range 2 {
		events := w.again(t)
		require.Len(t, events, 1)
		require.Equal(t, n, events[0].Replays)
		require.Zero(t, events[0].Attempts)
		w.settle(t, dead(&events[0]))
		s.Replay(t, id)
	}
	require.Len(t, s.DeadLetters(t), 2)
	w.complete(t, w.again(t)...)
	require.Equal(t, omnibox.StatusCompleted, row(t, s, id).Status)
}

func errorsFit(t testing.TB, s System) {
	written := enqueue(t, s, "a", "b")
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	long, blank := retry(&events[0]), retry(&events[1])
	long.Error, blank.Error = strings.Repeat("é", 1500), "  "
	w.settle(t, long, blank)
	got := row(t, s, events[0].ID).LastError
	require.LessOrEqual(t, len(got), omnibox.MaxErrorBytes)
	require.True(t, utf8.ValidString(got))
	require.True(t, strings.HasSuffix(got, "é... [TRUNCATED]"), got)
	require.NotEmpty(t, strings.TrimSpace(row(t, s, events[1].ID).LastError))
	require.Len(t, written, 2)
}

func atMostAYear(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	out := retry(&events[0])
	out.Delay = 2 * omnibox.MaxSchedule
	w.settle(t, out)
	require.False(t, row(t, s, id).ScheduledAt.After(events[0].CreatedAt.Add(omnibox.MaxSchedule)))
}

func oldBacksOff(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a")
	s.Elapse(t, omnibox.MaxSchedule+time.Hour)
	w := hire(t, s, config("w1"))
	for attempts := 1; attempts <= 2; attempts++ {
		events := w.again(t)
		require.Equal(t, written[0], events[0].ID)
		require.False(t, events[0].Suspect)
		w.settle(t, retry(&events[0]))
		w.settle(t, all(omnibox.Released, events[1:])...)
		w.settle(t, retry(&events[0])) // repeated
		require.Equal(t, attempts, row(t, s, written[0]).Attempts)
		require.NoError(t, w.Extend(t.Context()))
		require.Empty(t, w.again(t), "not before its delay is over, nor what is behind it")
		due, err := w.Due(t.Context(), slots())
		require.NoError(t, err)
		require.Empty(t, due)
		require.NoError(t, w.Release(t.Context()))
		w.claim(t)
		require.Empty(t, w.again(t), "a release is not the end of the delay")
		s.Elapse(t, 2*time.Minute)
	}
	w.complete(t, w.again(t)...)
	require.Equal(t, written[1:], ids(w.again(t)))
}
