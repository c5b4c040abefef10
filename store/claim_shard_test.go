package store_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

func TestFetchAndCommit(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ids := b.enqueue(t, "a", "b", "a", "c", "a")
	s := b.open(t, store.Config{})
	due, err := s.Due(t.Context(), allSlots())
	require.NoError(t, err)
	require.NotEmpty(t, due)
	c := claim(t, s)
	events := fetchAll(t, c, 10)
	require.ElementsMatch(t, ids, idsOf(events))
	requireInOrder(t, events)
	require.JSONEq(t, `{"n":0,"text":"a: b, c"}`, string(events[0].Payload.(json.RawMessage)))
	require.NoError(t, s.Commit(t.Context(), completed(events...)))
	c.Rewind()
	require.Empty(t, fetchAll(t, c, 10))
	require.Equal(t, 5, one[int](t, b, "select count(*) from outbox_events where status = 'completed'"))
	require.NoError(t, c.Release(t.Context()))
	due, err = s.Due(t.Context(), allSlots())
	require.NoError(t, err)
	require.Empty(t, due)
}
