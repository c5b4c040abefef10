package storetest

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/omnibox-go/omnibox"
)

func settling() []Test {
	return []Test{
		{Name: "a skipped event is final", Run: skippedIsFinal},
		{Name: "a released event is due again at once and nothing is counted", Run: releasedIsDue},
		{Name: "commit may be repeated", Run: repeatedCommit},
		{Name: "with delete a completed row is gone", Run: deleted},
		{Name: "a final state is left by replay alone", Run: finalStates},
	}
}

func skippedIsFinal(t testing.TB, s System) {
	id := enqueue(t, s, "a")[0]
	w := hire(t, s, config("w1"))
	w.settle(t, all(omnibox.Skipped, w.rest(t))...)
	require.Equal(t, omnibox.StatusCompleted, row(t, s, id).Status)
	require.Empty(t, w.again(t))
}

func releasedIsDue(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a", "b")
	w := hire(t, s, config("w1"))
	w.settle(t, all(omnibox.Released, w.rest(t))...)
	events := w.again(t)
	require.ElementsMatch(t, written, ids(events))
	for _, e := range events {
		require.Zero(t, e.Attempts)
		require.False(t, e.Suspect)
	}
	inOrder(t, events)
}

// trap: 18
func repeatedCommit(t testing.TB, s System) {
	written := enqueue(t, s, "a", "b", "c", "d", "e")
	w := hire(t, s, config("w1"))
	events := w.rest(t)
	out := []omnibox.Outcome{
		{Event: &events[0], Verdict: omnibox.Completed},
		{Event: &events[1], Verdict: omnibox.Skipped},
		retry(&events[2]), dead(&events[3]),
		{Event: &events[4], Verdict: omnibox.Released},
	}
	for range 3 {
		w.settle(t, out...)
	}
	require.Equal(t, omnibox.StatusCompleted, row(t, s, events[0].ID).Status)
	require.Equal(t, 1, row(t, s, events[2].ID).Attempts)
	require.Len(t, s.DeadLetters(t), 1)
	w.complete(t, w.again(t)...)
	require.Len(t, written, 5)
}

func deleted(t testing.TB, s System) {
	written := enqueue(t, s, "a", "b")
	cfg := config("w1")
	cfg.OnComplete = "delete"
	w := hire(t, s, cfg)
	events := w.rest(t)
	w.complete(t, events[0])
	w.complete(t, events[0]) // repeated
	w.settle(t, dead(&events[1]))
	_, there := s.Row(t, events[0].ID)
	require.False(t, there)
	require.Equal(t, omnibox.StatusFailed, row(t, s, events[1].ID).Status, "a dead one stays")
	require.Len(t, written, 2)
}

// trap: 15
func finalStates(t testing.TB, s System) {
	written := enqueue(t, s, "a", "a", "b")
	workers := []*worker{hire(t, s, config("w1")), hire(t, s, config("w2"))}
	hand := map[int][]omnibox.Event{}
	final := map[uuid.UUID]omnibox.Status{}
	check := func(replayed uuid.UUID) {
		for _, id := range written {
			now := row(t, s, id).Status
			if was, ok := final[id]; ok && id != replayed {
				require.Equal(t, was, now, "event %s", id)
			}
			delete(final, id)
			if now != omnibox.StatusPending {
				final[id] = now
			}
		}
	}
	for _, again := range []omnibox.Verdict{omnibox.Retry, omnibox.Released, omnibox.Dead, omnibox.Completed} {
		id := enqueue(t, s, "z")[0]
		events := slices.DeleteFunc(workers[0].again(t), func(e omnibox.Event) bool { return e.ID != id })
		workers[0].complete(t, events...)
		out := dead(&events[0])
		out.Verdict = again
		workers[0].settle(t, out)
		require.Equal(t, omnibox.StatusCompleted, row(t, s, id).Status, "then %s", again)
	}
	rapid.Check(rapidTB{t}, func(r *rapid.T) {
		for range rapid.IntRange(5, 20).Draw(r, "steps") {
			n := rapid.IntRange(0, 1).Draw(r, "worker")
			w := workers[n]
			replayed := uuid.Nil
			switch rapid.IntRange(0, 15).Draw(r, "action") {
			case 0, 1:
				w.Rewind()
				events, _, err := w.Fetch(t.Context(), 3)
				require.NoError(t, err)
				hand[n] = append(hand[n], events...)
				hand[n] = hand[n][max(0, len(hand[n])-4):]
			case 2:
				s.Expire(t)
				w.claim(t)
			case 3:
				replayed = replayOne(t, s)
			default:
				if len(hand[n]) == 0 {
					break
				}
				e := &hand[n][rapid.IntRange(0, len(hand[n])-1).Draw(r, "event")]
				later := retry(e)
				later.Delay = 0
				out := []omnibox.Outcome{
					{Event: e, Verdict: omnibox.Completed}, {Event: e, Verdict: omnibox.Released}, later, dead(e),
				}[rapid.IntRange(0, 3).Draw(r, "verdict")]
				if err := w.Commit(t.Context(), []omnibox.Outcome{out}); err != nil {
					require.ErrorIs(t, err, omnibox.ErrLeaseLost)
				}
			}
			check(replayed)
		}
	})
}

// replayOne puts back the event of an open dead letter, if there is one.
func replayOne(t testing.TB, s System) uuid.UUID {
	t.Helper()
	for _, d := range s.DeadLetters(t) {
		if d.Open {
			s.Replay(t, d.ID)
			return d.ID
		}
	}
	return uuid.Nil
}

// rapidTB lets rapid run under any testing.TB.
type rapidTB struct{ testing.TB }
