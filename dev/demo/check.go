package demo

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
)

// order is a row of the ledger, which is what the service has committed, with
// an event of it.
type order struct {
	ID       uuid.UUID
	Customer string
	Number   int
	Status   string // of its event
}

// delivery is a record of the topic.
type delivery struct {
	order    uuid.UUID
	customer string // the record's key
	number   int
	took     time.Duration // from the order being placed to the record being read
}

// evidence is what is known at the end.
type evidence struct {
	ledger     []order
	deliveries []delivery // as the topic has them
	replayed   []uuid.UUID
	rolledBack []uuid.UUID
	noted      int // orders that the audit step has let pass
	lanes
}

// lanes is what Temporal knows of the ways that orders took.
type lanes struct {
	calm, calmOrders  int // workflows in calm traffic, of so many orders
	burst, allowed    int // workflows that a burst has added, and how many the budget allows
	failed, escalated int // orders that failed, and that got a workflow because of it
}

// findings are what the evidence shows.
type findings struct {
	orders, customers, delivered int
	duplicates                   int // allowed: delivery is at least once
	lost                         int // orders that are not in the topic
	unsettled                    int // orders without exactly one event, completed
	unnoted                      int // orders that did not pass the audit step
	strays                       int // records of what is no order
	disorder                     int // first deliveries behind a later one of their customer
	leftovers                    int // rolled back orders that are there all the same
	missingReplays               int
}

// check compares what the service has committed with what is in the topic.
func check(e evidence) findings {
	f := findings{}
	orders := make(map[uuid.UUID]order, len(e.ledger))
	customers := map[string]bool{}
	for _, o := range e.ledger {
		_, twice := orders[o.ID]
		orders[o.ID] = o
		customers[o.Customer] = true
		if twice || o.Status != string(omnibox.StatusCompleted) {
			f.unsettled++
		}
	}
	f.orders, f.customers, f.unnoted = len(orders), len(customers), len(orders)-e.noted
	late := map[uuid.UUID]bool{} // a replayed event comes when a person says so
	for _, id := range e.replayed {
		late[id] = true
	}
	seen := map[uuid.UUID]bool{}
	last := map[string]int{}
	for _, d := range e.deliveries {
		o, known := orders[d.order]
		switch {
		case !known || o.Customer != d.customer || o.Number != d.number:
			f.strays++
			continue
		case seen[d.order]:
			f.duplicates++
			continue
		}
		seen[d.order] = true
		if late[d.order] {
			continue
		}
		if d.number < last[d.customer] {
			f.disorder++
		}
		last[d.customer] = max(last[d.customer], d.number)
	}
	f.delivered = len(seen)
	f.lost = len(orders) - len(seen)
	for _, id := range e.replayed {
		if !seen[id] {
			f.missingReplays++
		}
	}
	for _, id := range e.rolledBack {
		if _, there := orders[id]; there {
			f.leftovers++
		}
	}
	return f
}

// promise is a line of the summary.
type promise struct {
	held bool
	text string
}

// promises says what was promised and whether it was kept.
func (f findings) promises(e evidence) []promise {
	return []promise{
		{f.orders > 0 && f.unsettled == 0, fmt.Sprintf("%s orders written, %s", count(f.orders), orElse(f.unsettled, "each with one event, all settled", "%s without one settled event"))},
		{f.lost == 0, fmt.Sprintf("%s in the topic, %s", count(f.delivered), orElse(f.lost, "none lost", "%s lost"))},
		{f.unnoted == 0, orElse(f.unnoted, "all passed the audit step on their way", "%s more orders than the audit step has seen")},
		{f.disorder == 0, orElse(f.disorder, fmt.Sprintf("in order for each of %d customers", f.customers), "%s delivered behind a later order of the customer")},
		{f.strays == 0 && f.leftovers == 0, fmt.Sprintf("%d rolled back, %s", len(e.rolledBack), orElse(f.strays+f.leftovers, "neither order nor event of it", "%s orders or events that should not be"))},
		{len(e.replayed) > 0 && f.missingReplays == 0, fmt.Sprintf("%d dead letter replayed, %s", len(e.replayed), orElse(f.missingReplays, "then delivered", "%s never delivered"))},
		{e.calm > 0, fmt.Sprintf("%d of %d orders in calm traffic had a workflow of their own", e.calm, e.calmOrders)},
		{e.burst <= e.allowed, fmt.Sprintf("the burst has added %d workflows, %s", e.burst, orElse(max(0, e.burst-e.allowed), "within the budget", "%s too many"))},
		{e.failed > 0 && e.failed == e.escalated, fmt.Sprintf("%d orders failed, %s", e.failed, orElse(e.failed-e.escalated, "each got a workflow of its own then", "%s of them got no workflow then"))},
		{true, fmt.Sprintf("%s duplicates (delivery is at least once)", count(f.duplicates))},
	}
}

// orElse is good if n is 0, else bad with n in it.
func orElse(n int, good, bad string) string {
	if n == 0 {
		return good
	}
	return fmt.Sprintf(bad, count(n))
}

// count writes a number with separators between thousands.
func count[N int | int64](n N) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", count(n/1000), n%1000)
}
