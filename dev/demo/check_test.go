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
			o := order{ID: uuid.New(), Customer: customer, Number: number + 1, Status: string(omnibox.StatusCompleted), Correlation: "purchase " + customer}
			e.ledger = append(e.ledger, o)
			e.deliveries = append(e.deliveries, delivery{order: o.ID, customer: customer, number: o.Number})
		}
	}
	e.replayed = []uuid.UUID{e.deliveries[0].order}
	e.deliveries = append(e.deliveries[1:], e.deliveries[0])
	e.rolledBack = []uuid.UUID{uuid.New()}
	e.noted = len(e.ledger)
	for _, o := range e.ledger {
		e.invoices = append(e.invoices, delivery{order: o.ID, customer: o.Customer, number: o.Number})
		e.announced = append(e.announced, delivery{
			order: o.ID, customer: o.Customer, number: o.Number, cause: o.ID.String(), correlation: o.Correlation,
		})
	}
	e.garbage = []place{{2, 7}}
	e.letters = slices.Clone(e.garbage)
	e.deliveries = append(e.deliveries, delivery{customer: "a", place: e.garbage[0]})
	e.doneAtKill, e.knownAtKill, e.again, e.wentOn = 2, 5, 3, true
	e.lanes = lanes{calm: 4, calmOrders: 4, burst: 3, allowed: 3, failed: 2, escalated: 2}
	return e
}

// broken are the promises that were not kept.
func broken(e evidence) []string {
	var texts []string
	f := check(e)
	for _, p := range slices.Concat(f.promises(e), f.billing(e)) {
		if !p.held {
			texts = append(texts, p.text)
		}
	}
	return texts
}

func TestCheckHoldsForASoundRun(t *testing.T) {
	t.Parallel()
	require.Empty(t, broken(sound()))
	require.Equal(t, findings{orders: 10, customers: 2, delivered: 10, invoiced: 10}, check(sound()))
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
			func(e *evidence) { e.deliveries = slices.Delete(e.deliveries, 9, 10) },
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
		"an order without an invoice": {
			func(e *evidence) { e.invoices = slices.Delete(e.invoices, 3, 4) },
			[]string{"9 orders have an invoice, 1 have none"},
		},
		"an order with two invoices": {
			func(e *evidence) { e.invoices = append(e.invoices, e.invoices[3]) },
			[]string{"1 invoices or announcements too many"},
		},
		"an invoice of no order": {
			func(e *evidence) { e.invoices = append(e.invoices, delivery{order: uuid.New(), customer: "a"}) },
			[]string{"1 invoices or announcements too many"},
		},
		"two invoices of a customer change places": {
			func(e *evidence) { e.invoices[2], e.invoices[4] = e.invoices[4], e.invoices[2] },
			[]string{"1 behind a later one of the customer"},
		},
		"two announcements of a customer change places": {
			func(e *evidence) { e.announced[2], e.announced[4] = e.announced[4], e.announced[2] },
			[]string{"1 behind a later one of the customer"},
		},
		"an invoice that nobody heard of": {
			func(e *evidence) { e.announced = slices.Delete(e.announced, 3, 4) },
			[]string{"1 never announced"},
		},
		"an invoice without an event": {
			func(e *evidence) { e.unsent++ },
			[]string{"1 never announced"},
		},
		"an announcement without its cause": {
			func(e *evidence) { e.announced[3].cause = "" },
			[]string{"1 announcements do not say what caused them"},
		},
		"an announcement of another purchase": {
			func(e *evidence) { e.announced[3].correlation = "purchase c" },
			[]string{"1 announcements do not say what caused them"},
		},
		"garbage that is gone": {
			func(e *evidence) { e.letters = nil },
			[]string{"1 broken message, 1 dead letters missing or too many"},
		},
		"a dead letter of something else": {
			func(e *evidence) { e.letters = append(e.letters, place{2, 8}) },
			[]string{"1 broken message, 1 dead letters missing or too many"},
		},
		"a partition that does not go on": {
			func(e *evidence) { e.wentOn = false },
			[]string{"its partition did not go on"},
		},
		"a kill when all was done": {
			func(e *evidence) { e.doneAtKill = e.knownAtKill },
			[]string{"killed with 5 of 5 orders invoiced"},
		},
		"nothing at all": {
			func(e *evidence) { *e = evidence{} },
			[]string{
				"0 orders written, each with one event, all settled", "0 dead letter replayed, then delivered",
				"0 of 0 orders in calm traffic had a workflow of their own",
				"0 orders failed, each got a workflow of its own then",
				"killed with 0 of 0 orders invoiced", "0 orders have an invoice, none was forgotten",
				"0 broken message, which is a dead letter now", "its partition did not go on",
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
	e.announced = append(e.announced, e.announced[:2]...)
	require.Empty(t, broken(e))
	require.Equal(t, 2, check(e).duplicates)
}

func TestCountSeparatesThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1_002_003: "1,002,003"} {
		require.Equal(t, want, count(n), fmt.Sprint(n))
	}
}
