package demo

import (
	"fmt"
	"slices"
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
	// Correlation is the event's correlation id; its id is the order's.
	Correlation string
}

// place is where a record is in a topic.
type place struct {
	partition int32
	offset    int64
}

// delivery is what has become of an order: a record of a topic, or an invoice.
type delivery struct {
	order    uuid.UUID
	customer string // the record's key
	number   int
	took     time.Duration // from the order being placed to the record being read
	place    place
	// cause and correlation are ids that the record names.
	cause, correlation string
}

// evidence is what is known at the end.
type evidence struct {
	ledger     []order
	deliveries []delivery // as the topic has them
	replayed   []uuid.UUID
	rolledBack []uuid.UUID
	noted      int // orders that the audit step has let pass
	billed
	lanes
}

// billed is what is known of the second service.
type billed struct {
	invoices    []delivery // in the order of writing
	unsent      int        // invoices without an event that has been sent
	announced   []delivery // as the topic has them
	doneAtKill  int64      // orders that had an invoice when the process was killed
	knownAtKill int64      // orders that were in the topic then
	again       int        // messages that came a second time
	garbage     []place    // records that are no events
	letters     []place    // dead letters of the inbox
	wentOn      bool       // what was behind the garbage has been applied
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
	invoiced, uninvoiced         int // orders with an invoice, and without
	doubled                      int // invoices of an order that has one already
	invoiceDisorder              int
	unannounced                  int // orders whose invoice nobody heard of
	unrelated                    int // announcements that do not name their order as the cause
	odd                          int // invoices and announcements of what is no order
	unburied                     int // dead letters that garbage should have, or that are of something else
}

// course is what a sequence of deliveries shows.
type course struct {
	seen       map[uuid.UUID]bool
	duplicates int
	strays     int // of what is no order
	disorder   int // first ones behind a later one of their customer
}

// follow goes through deliveries; those that are late have no place of their own.
func follow(orders map[uuid.UUID]order, came []delivery, late map[uuid.UUID]bool) course {
	c := course{seen: map[uuid.UUID]bool{}}
	last := map[string]int{}
	for _, d := range came {
		o, known := orders[d.order]
		switch {
		case !known || o.Customer != d.customer || o.Number != d.number:
			c.strays++
			continue
		case c.seen[d.order]:
			c.duplicates++
			continue
		}
		c.seen[d.order] = true
		if late[d.order] {
			continue
		}
		if d.number < last[d.customer] {
			c.disorder++
		}
		last[d.customer] = max(last[d.customer], d.number)
	}
	return c
}

// check compares what the services have committed with what is in the topics.
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
	sent := follow(orders, slices.DeleteFunc(slices.Clone(e.deliveries), func(d delivery) bool {
		return slices.Contains(e.garbage, d.place)
	}), late)
	f.duplicates, f.strays, f.disorder = sent.duplicates, sent.strays, sent.disorder
	f.delivered, f.lost = len(sent.seen), len(orders)-len(sent.seen)
	for _, id := range e.replayed {
		if !sent.seen[id] {
			f.missingReplays++
		}
	}
	for _, id := range e.rolledBack {
		if _, there := orders[id]; there {
			f.leftovers++
		}
	}
	f.bill(e, orders, late)
	return f
}

// bill is the part of check that is about invoices.
func (f *findings) bill(e evidence, orders map[uuid.UUID]order, late map[uuid.UUID]bool) {
	written := follow(orders, e.invoices, late)
	f.invoiced, f.uninvoiced = len(written.seen), len(orders)-len(written.seen)
	f.doubled, f.invoiceDisorder = written.duplicates, written.disorder
	heard := follow(orders, e.announced, late)
	f.unannounced = max(e.unsent, len(orders)-len(heard.seen))
	f.invoiceDisorder += heard.disorder
	f.odd = written.strays + heard.strays
	for _, d := range e.announced {
		if d.cause != d.order.String() || d.correlation != orders[d.order].Correlation {
			f.unrelated++
		}
	}
	for _, p := range e.garbage {
		if !slices.Contains(e.letters, p) {
			f.unburied++
		}
	}
	f.unburied += max(0, len(e.letters)-len(e.garbage))
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

// billing says it of the second service.
func (f findings) billing(e evidence) []promise {
	went := "what was behind it in its partition has its invoice"
	if !e.wentOn {
		went = "its partition did not go on"
	}
	return []promise{
		{e.doneAtKill > 0 && e.doneAtKill < e.knownAtKill, fmt.Sprintf("killed with %s of %s orders invoiced", count(e.doneAtKill), count(e.knownAtKill))},
		{f.invoiced > 0 && f.uninvoiced == 0, fmt.Sprintf("%s orders have an invoice, %s", count(f.invoiced), orElse(f.uninvoiced, "none was forgotten", "%s have none"))},
		{f.doubled+f.odd == 0, orElse(f.doubled+f.odd, "none has two, though nothing but the inbox forbids it", "%s invoices or announcements too many")},
		{f.invoiceDisorder == 0, orElse(f.invoiceDisorder, fmt.Sprintf("in order for each of %d customers", f.customers), "%s behind a later one of the customer")},
		{f.unannounced == 0, orElse(f.unannounced, "each was announced in Kafka, from the same transaction", "%s never announced")},
		{f.unrelated == 0, orElse(f.unrelated, "each announcement names its order's event as its cause", "%s announcements do not say what caused them")},
		{len(e.garbage) > 0 && f.unburied == 0, fmt.Sprintf("%d broken message, %s", len(e.garbage), orElse(f.unburied, "which is a dead letter now", "%s dead letters missing or too many"))},
		{e.wentOn, went},
		{true, cameAgain(e.again)},
	}
}

// cameAgain tells of deliveries that the inbox has seen before.
func cameAgain(n int) string {
	if n == 0 {
		return "no message came again, this time (delivery is at least once)"
	}
	return fmt.Sprintf("%s messages came again, and were dropped by the inbox", count(n))
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
