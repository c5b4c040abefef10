package faults

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
)

// The check is what the fault tests stand on, so it is shown to see each kind of
// violation.
func TestCompareFindsEveryViolation(t *testing.T) {
	t.Parallel()
	ids := [4]uuid.UUID{uuid.New(), uuid.New(), uuid.New(), uuid.New()}
	ledger := NewLedger()
	ledger.Commit(
		Entry{ID: ids[0], Key: "a", N: 1, Seq: 1}, Entry{ID: ids[1], Key: "a", N: 2, Seq: 2},
		Entry{ID: ids[2], Key: "a", N: 3, Seq: 3}, Entry{ID: ids[3], Key: "b", N: 1, Seq: 4})
	at := func(i int, key string, n int) Delivery { return Delivery{ID: ids[i], Key: key, N: n} }
	whole := []Delivery{at(0, "a", 1), at(3, "b", 1), at(1, "a", 2), at(2, "a", 3)}
	swapped := slices.Clone(whole)
	swapped[2], swapped[3] = swapped[3], swapped[2]

	for _, c := range []struct {
		name       string
		deliveries []Delivery
		duplicates int
		broken     []string
	}{
		{name: "all is well", deliveries: whole},
		{name: "a late repetition is allowed", deliveries: append(slices.Clone(whole), at(0, "a", 1)), duplicates: 1},
		{name: "lost", deliveries: whole[:3], broken: []string{"committed and not delivered: 1"}},
		{name: "out of order", deliveries: swapped, broken: []string{"first delivered out of order: 1"}},
		{name: "phantom", deliveries: append(slices.Clone(whole), Delivery{ID: uuid.New(), Key: "a", N: 3}), broken: []string{"never committed: 1"}},
		{name: "changed", deliveries: append(slices.Clone(whole), at(0, "b", 1)), duplicates: 1, broken: []string{"another key or content: 1"}},
		{name: "two partitions", deliveries: append(slices.Clone(whole), Delivery{ID: ids[0], Key: "a", N: 1, Partition: 1}), duplicates: 1, broken: []string{"more than one partition of its key: 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := Compare(ledger, c.deliveries)
			require.Len(t, got.Broken, len(c.broken), "%v", got.Broken)
			for i, want := range c.broken {
				require.Contains(t, got.Broken[i], want)
			}
			require.Equal(t, c.duplicates, got.Duplicates)
			require.Equal(t, 4, got.Committed)
		})
	}
}

// What comes once more is an effect too many.
func TestEffectsAreReadAndComeOnce(t *testing.T) {
	t.Parallel()
	url := devtest.Database(t)
	r, err := readEffects(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	_, err = r.db.Exec(t.Context(), effects)
	require.NoError(t, err)
	ledger := NewLedger()
	apply := func(e Entry) {
		_, err := r.db.Exec(t.Context(), `select apply_message(jsonb_build_object('key', $1::text, 'payload', jsonb_build_object('n', $2::int), 'message_id', $3::uuid))`,
			e.Key, e.N, e.ID)
		require.NoError(t, err)
	}
	first, second := Entry{ID: uuid.New(), Key: "a", N: 1}, Entry{ID: uuid.New(), Key: "a", N: 2}
	ledger.Commit(first, second)
	apply(first)
	apply(second)
	require.NoError(t, r.Await(t.Context(), map[string]int{"a": 2}))
	check := func() Findings {
		all, err := r.All(t.Context())
		require.NoError(t, err)
		f := Compare(ledger, all)
		f.requireOnce()
		return f
	}
	require.Empty(t, check().Broken)
	apply(first)
	records, events := r.Len(t.Context())
	require.Equal(t, []int{3, 2}, []int{records, events})
	require.Equal(t, []string{"applied more than once: 1"}, check().Broken)

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("too late"))
	require.ErrorContains(t, r.Await(ctx, map[string]int{"a": 3}), "such as a for its message 3: too late")
}

func TestTooFewEventsProveNothing(t *testing.T) {
	t.Parallel()
	for committed, broken := range map[int]int{2000: 0, 1999: 1, 0: 1} {
		r := &Report{Findings: Findings{Committed: committed}, Produced: 10 * time.Second}
		r.requireLoad(250)
		require.Len(t, r.Broken, broken, "%d events", committed)
	}
}

func TestAKillThatMovesNoSlotProvesNothing(t *testing.T) {
	t.Parallel()
	r := &Report{Hits: []*Hit{
		{Fault: "kill a worker", kills: []kill{{slots: []int{1, 2}}}, Slots: 2},
		{Fault: "cut off Kafka"},
	}}
	r.requireTakeovers()
	require.Empty(t, r.Broken)
	r.Hits = append(r.Hits, &Hit{Fault: "kill both workers", kills: []kill{{}, {}}})
	r.requireTakeovers()
	require.Len(t, r.Broken, 1)
	require.Contains(t, r.Broken[0], "kill both workers")
}
