package storetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

func landing() []InboxTest {
	return []InboxTest{
		{Name: "what is landed is fetched as it came", Run: landedIsFetched},
		{Name: "messages of a key are fetched in the order of their offsets", Run: landedInOrder},
		{Name: "a message is landed once a group", Run: landedOnce},
		{Name: "a message that comes again when its row is final or gone is a duplicate", Run: landedForEver},
		{Name: "of those who land a message at once one does", Run: landedByOne},
		{Name: "an unreadable message is dead at once, and the others go on", Run: unreadableIsDead},
		{Name: "a replayed unreadable message comes with what was kept", Run: unreadableReplayed},
		{Name: "pending and dead messages are unsettled, final ones are not", Run: unsettled},
		{Name: "a table is full when enough is pending", Run: full},
	}
}

// message is the one at offset of partition 0.
func message(key string, offset int64) *omnibox.Event {
	return &omnibox.Event{
		Topic: "orders", Key: key, Type: "order.placed", Payload: json.RawMessage(fmt.Sprintf(`{"n":%d}`, offset)),
		Origin: &omnibox.Origin{
			MessageID: fmt.Sprintf("m%d", offset), Source: "shop", Offset: offset, Key: []byte(key),
		},
	}
}

// messages are the first n of one key.
func messages(n int) []*omnibox.Event {
	all := make([]*omnibox.Event, n)
	for i := range all {
		all[i] = message("k", int64(i))
	}
	return all
}

func land(t testing.TB, w Inbox, events ...*omnibox.Event) store.Landed {
	t.Helper()
	landed, err := w.Land(t.Context(), events)
	require.NoError(t, err)
	return landed
}

// receiver is a worker of an inbox with a claim on all slots.
type receiver struct {
	*worker
	inbox Inbox
}

func receive(t testing.TB, s InboxSystem, cfg store.Config) receiver {
	t.Helper()
	inbox := s.OpenInbox(t, cfg)
	w := &worker{Store: inbox}
	w.claim(t)
	return receiver{worker: w, inbox: inbox}
}

func messageIDs(events []omnibox.Event) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = e.Origin.MessageID
	}
	return out
}

func landedIsFetched(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	occurred := time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond)
	full := message("k1", 7)
	full.Headers = map[string]string{"a": "b"}
	full.SchemaVersion, full.TraceID, full.CorrelationID, full.CausationID, full.MaxAttempts = "2", "t", "c", "d", 3
	full.Origin.OccurredAt = occurred
	body := message("k2", 8)
	body.Payload, body.Body, body.ContentType = nil, []byte{0, 1, 0xff}, "application/x-protobuf"
	keyless, empty, binary, likeID := message("m9", 9), message("m10", 10), message("sha256:ab", 11), message("m12", 12)
	keyless.Origin.Key, empty.Origin.Key, binary.Origin.Key = nil, []byte{}, []byte{0xff, 0}
	want := []*omnibox.Event{full, body, keyless, empty, binary, likeID}
	for _, e := range want {
		e.Origin.Partition = 4
	}
	require.Equal(t, store.Landed{New: len(want)}, land(t, w.inbox, want...))
	got := w.rest(t)
	require.Len(t, got, len(want))
	slices.SortFunc(got, func(a, b omnibox.Event) int { return int(a.Seq - b.Seq) })
	for i, e := range got {
		require.NotEqual(t, uuid.Nil, e.ID)
		require.Equal(t, uuid.Version(4), e.ID.Version())
		e.Origin.OccurredAt = e.Origin.OccurredAt.UTC()
		require.Equal(t, want[i].Origin, e.Origin)
		require.Equal(t, []any{want[i].Topic, want[i].Key, want[i].Type, want[i].Headers, want[i].Body, want[i].ContentType, want[i].SchemaVersion},
			[]any{e.Topic, e.Key, e.Type, e.Headers, e.Body, e.ContentType, e.SchemaVersion})
		require.Equal(t, []string{want[i].TraceID, want[i].CorrelationID, want[i].CausationID}, []string{e.TraceID, e.CorrelationID, e.CausationID})
		if want[i].Payload != nil {
			require.Equal(t, want[i].Payload, e.Payload)
		}
	}
	require.Equal(t, []int{3, omnibox.DefaultMaxAttempts}, []int{got[0].MaxAttempts, got[1].MaxAttempts})
}

// The order is that of the broker, in whatever order they are given, whatever
// their ids are, and over several polls.
func landedInOrder(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	const polls, n = 5, 40
	for poll := range polls {
		var some []*omnibox.Event
		for i := range n {
			offset := int64(poll*n + i)
			e := message(fmt.Sprintf("k%d", i%4), offset)
			e.Origin.Partition = int32(i % 4)
			e.Origin.MessageID = uuid.NewString()
			some = append(some, e)
		}
		slices.Reverse(some)
		land(t, w.inbox, some...)
	}
	last := map[string]int64{}
	events := w.rest(t)
	require.Len(t, events, polls*n)
	inOrder(t, events)
	for _, e := range events {
		before, seen := last[e.Key]
		require.True(t, !seen || before < e.Origin.Offset, "offset %d after %d", e.Origin.Offset, before)
		last[e.Key] = e.Origin.Offset
	}
}

func landedOnce(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	twice := messages(4)
	twice[3].Origin.MessageID = twice[0].Origin.MessageID // a producer has sent it again
	require.Equal(t, store.Landed{New: 3, Duplicates: 1}, land(t, w.inbox, twice...))
	require.Equal(t, store.Landed{New: 1, Duplicates: 3}, land(t, w.inbox, messages(4)...))
	events := w.rest(t)
	require.Equal(t, []string{"m0", "m1", "m2", "m3"}, messageIDs(events))
	require.Zero(t, events[0].Origin.Offset, "the first counts")

	other := config("w2")
	other.Group, other.Pipeline = "shipping", "other"
	require.Equal(t, store.Landed{New: 4}, land(t, s.OpenInbox(t, other), messages(4)...))
}

// trap: 25
func landedForEver(t testing.TB, s InboxSystem) {
	for _, onComplete := range []string{"keep", "delete"} {
		cfg := config("w1")
		cfg.OnComplete = onComplete
		w := receive(t, s, cfg)
		all := messages(3)
		for _, e := range all {
			e.Origin.MessageID += onComplete
		}
		require.Equal(t, 3, land(t, w.inbox, all...).New)
		events := w.rest(t)
		w.complete(t, events[0])
		w.settle(t, dead(&events[1]))
		require.Equal(t, 3, land(t, w.inbox, all...).Duplicates, "the group goes back")
		again := s.OpenInbox(t, cfg) // a restart
		require.Equal(t, 3, land(t, again, all...).Duplicates)
		w.complete(t, events[2])
		cfg.OnComplete = "keep" // from now on
		require.Equal(t, 3, land(t, s.OpenInbox(t, cfg), all...).Duplicates)
		require.NoError(t, w.Release(t.Context()))
	}
}

// trap: 22
func landedByOne(t testing.TB, s InboxSystem) {
	const workers, n, rounds = 50, 20, 2
	for round := range rounds {
		var wg sync.WaitGroup
		var mu sync.Mutex
		total := store.Landed{}
		for i := range workers {
			w := s.OpenInbox(t, config("w1"))
			wg.Go(func() {
				some := messages(n)
				for j, e := range some {
					e.Origin.MessageID = fmt.Sprintf("r%d-%d", round, j)
					if i%2 == 1 { // the same messages elsewhere, the other way round
						e.Origin.Partition, e.Origin.Offset = 1, int64(n-j)
					}
				}
				landed, err := w.Land(t.Context(), some)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				total.New += landed.New
				total.Duplicates += landed.Duplicates
			})
		}
		wg.Wait()
		require.Equal(t, store.Landed{New: n, Duplicates: (workers - 1) * n}, total)
	}
	require.Len(t, receive(t, s, config("w1")).rest(t), rounds*n)
}

func garbage(offset int64) *omnibox.Event {
	return &omnibox.Event{
		Topic: "orders", Key: fmt.Sprintf("orders:0:%d", offset), Type: "unreadable", Body: []byte{0xff, 0, '{'},
		Origin: &omnibox.Origin{
			MessageID: fmt.Sprintf("orders:0:%d", offset), Source: "orders", Offset: offset,
			Unreadable: "the value is not JSON", RawHeaders: []byte(`[{"key": "h", "value": "/w=="}]`),
		},
	}
}

// trap: 27
func unreadableIsDead(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	all := []*omnibox.Event{message("k", 0), garbage(1), message("k", 2)}
	require.Equal(t, store.Landed{New: 2, Unreadable: 1}, land(t, w.inbox, all...))
	require.Equal(t, store.Landed{Duplicates: 3}, land(t, w.inbox, all...))
	require.Equal(t, []string{"m0", "m2"}, messageIDs(w.rest(t)))
	letters := s.DeadLetters(t)
	require.Len(t, letters, 1)
	require.Equal(t, DeadLetter{ID: letters[0].ID, Class: omnibox.ClassPermanent, Error: "the value is not JSON", Attempts: 1, Open: true}, letters[0])
	r := row(t, s, letters[0].ID)
	require.Equal(t, omnibox.StatusFailed, r.Status)
	require.Equal(t, []int{r.MaxAttempts, omnibox.DefaultMaxAttempts}, []int{r.Attempts, r.MaxAttempts})
	require.Equal(t, omnibox.ClassPermanent, r.Class)
	require.Equal(t, "the value is not JSON", r.LastError)
}

func unreadableReplayed(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	land(t, w.inbox, garbage(1))
	s.Replay(t, s.DeadLetters(t)[0].ID)
	events := w.again(t)
	require.Len(t, events, 1)
	require.Equal(t, []byte{0xff, 0, '{'}, events[0].Body)
	require.NotEmpty(t, events[0].Origin.Unreadable)
	require.JSONEq(t, `[{"key": "h", "value": "/w=="}]`, string(events[0].Origin.RawHeaders))
	w.complete(t, events...)
	require.Equal(t, omnibox.StatusCompleted, row(t, s, events[0].ID).Status)
}

func unsettled(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	ids := []string{"m0", "m1", "m2", "m3", "orders:0:9", "nowhere"}
	for i, e := range messages(4) {
		e.Key = fmt.Sprint("k", i)
		land(t, w.inbox, e)
	}
	land(t, w.inbox, garbage(9))
	look := func() map[string]omnibox.Status {
		found, err := w.inbox.Unsettled(t.Context(), ids)
		require.NoError(t, err)
		return found
	}
	want := map[string]omnibox.Status{
		"m0": omnibox.StatusPending, "m1": omnibox.StatusPending, "m2": omnibox.StatusPending, "m3": omnibox.StatusPending,
		"orders:0:9": omnibox.StatusFailed,
	}
	require.Equal(t, want, look())
	events := w.rest(t)
	slices.SortFunc(events, func(a, b omnibox.Event) int { return int(a.Seq - b.Seq) })
	w.settle(t, omnibox.Outcome{Event: &events[0], Verdict: omnibox.Completed}, retry(&events[1]), dead(&events[2]))
	delete(want, "m0")
	want["m2"] = omnibox.StatusFailed
	require.Equal(t, want, look())

	s.Discard(t, events[2].ID)
	delete(want, "m2")
	require.Equal(t, want, look(), "given up")
	s.Replay(t, s.DeadLetters(t)[0].ID)
	want["orders:0:9"] = omnibox.StatusPending
	require.Equal(t, want, look())

	other := config("w2")
	other.Group, other.Pipeline = "shipping", "other"
	found, err := s.OpenInbox(t, other).Unsettled(t.Context(), slices.Collect(maps.Keys(want)))
	require.NoError(t, err)
	require.Empty(t, found, "what other groups have landed")
}

func full(t testing.TB, s InboxSystem) {
	w := receive(t, s, config("w1"))
	check := func(pending int) {
		t.Helper()
		for most, want := range map[int]bool{pending + 1: false, pending: true, max(pending-2, 0): true} {
			got, err := w.inbox.Full(t.Context(), most)
			require.NoError(t, err)
			require.Equal(t, want, got, "%d pending, at most %d", pending, most)
		}
	}
	check(0)
	land(t, w.inbox, messages(6)...)
	land(t, w.inbox, garbage(9))
	check(6)
	events := w.rest(t)
	w.settle(t, append(all(omnibox.Released, events[1:]), retry(&events[0]))...)
	require.Empty(t, w.again(t), "five are held by the one that failed")
	check(6)
}
