package demo

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
)

// sound is evidence of a run in which all went well: two customers with five
// orders each, of which one was replayed.
func sound() evidence {
	var e evidence
	for number := range 5 {
		for _, customer := range []string{"a", "b"} {
			o := order{ID: uuid.New(), Customer: customer, Number: number + 1, Status: string(omnibox.StatusCompleted)}
			e.ledger = append(e.ledger, o)
			e.deliveries = append(e.deliveries, delivery{order: o.ID, customer: customer, number: o.Number})
		}
	}
	e.replayed = []uuid.UUID{e.deliveries[0].order}
	e.deliveries = append(e.deliveries[1:], e.deliveries[0])
	e.rolledBack = []uuid.UUID{uuid.New()}
	e.noted = len(e.ledger)
	e.lanes = lanes{calm: 4, calmOrders: 4, burst: 3, allowed: 3, failed: 2, escalated: 2}
	return e
}

// broken are the promises that were not kept.
func broken(e evidence) []string {
	var texts []string
	for _, p := range check(e).promises(e) {
		if !p.held {
			texts = append(texts, p.text)
		}
	}
	return texts
}

func TestCheckHoldsForASoundRun(t *testing.T) {
	t.Parallel()
	require.Empty(t, broken(sound()))
	require.Equal(t, findings{orders: 10, customers: 2, delivered: 10}, check(sound()))
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(e *evidence)
		want  []string
	}{
		"a record is lost": {
			func(e *evidence) { e.deliveries = slices.Delete(e.deliveries, 3, 4) },
			[]string{"9 in the topic, 1 lost"},
		},
		"two records of a customer change places": {
			func(e *evidence) { e.deliveries[2], e.deliveries[4] = e.deliveries[4], e.deliveries[2] },
			[]string{"1 delivered behind a later order of the customer"},
		},
		"a record of no order": {
			func(e *evidence) {
				e.deliveries = append(e.deliveries, delivery{order: uuid.New(), customer: "a", number: 6})
			},
			[]string{"1 rolled back, 1 orders or events that should not be"},
		},
		"a record under another key": {
			func(e *evidence) { e.deliveries[5].customer = "c" },
			[]string{"9 in the topic, 1 lost", "1 rolled back, 1 orders or events that should not be"},
		},
		"an order of a transaction that was rolled back": {
			func(e *evidence) { e.rolledBack[0] = e.ledger[3].ID },
			[]string{"1 rolled back, 1 orders or events that should not be"},
		},
		"an order without an event": {
			func(e *evidence) { e.ledger[3].Status = "missing" },
			[]string{"10 orders written, 1 without one settled event"},
		},
		"an order with two events": {
			func(e *evidence) { e.ledger = append(e.ledger, e.ledger[3]) },
			[]string{"10 orders written, 1 without one settled event"},
		},
		"the replayed event never comes": {
			func(e *evidence) { e.deliveries = e.deliveries[:9] },
			[]string{"9 in the topic, 1 lost", "1 dead letter replayed, 1 never delivered"},
		},
		"an order that the step has not seen": {
			func(e *evidence) { e.noted-- },
			[]string{"1 more orders than the audit step has seen"},
		},
		"no workflows in calm traffic": {
			func(e *evidence) { e.calm = 0 },
			[]string{"0 of 4 orders in calm traffic had a workflow of their own"},
		},
		"a burst of workflows": {
			func(e *evidence) { e.burst = 10 },
			[]string{"the burst has added 10 workflows, 7 too many"},
		},
		"a failed order without a workflow": {
			func(e *evidence) { e.escalated-- },
			[]string{"2 orders failed, 1 of them got no workflow then"},
		},
		"nothing at all": {
			func(e *evidence) { *e = evidence{} },
			[]string{
				"0 orders written, each with one event, all settled", "0 dead letter replayed, then delivered",
				"0 of 0 orders in calm traffic had a workflow of their own",
				"0 orders failed, each got a workflow of its own then",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sound()
			c.spoil(&e)
			require.Equal(t, c.want, broken(e))
		})
	}
}

func TestCheckAllowsDuplicates(t *testing.T) {
	t.Parallel()
	e := sound()
	e.deliveries = append(e.deliveries, e.deliveries[:2]...)
	require.Empty(t, broken(e))
	require.Equal(t, 2, check(e).duplicates)
}

func TestCountSeparatesThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1_002_003: "1,002,003"} {
		require.Equal(t, want, count(n), fmt.Sprint(n))
	}
}
