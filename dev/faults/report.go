package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Report is what a campaign did and found.
type Report struct {
	Findings
	Hits []*Hit
	// Produced is how long events were produced for.
	Produced time.Duration
	// Bound is how long a slot may stand still when its worker was killed.
	Bound time.Duration
}

// Hit is a fault that was made.
type Hit struct {
	N     int
	Fault string
	At    time.Time
	// Lasted is until everything ran again, Recovery from then until events of
	// every key flowed.
	Lasted, Recovery time.Duration
	// Duplicates delivered meanwhile.
	Duplicates int
	// Slots that killed workers had, and how long the slowest of them stood still.
	Slots    int
	Takeover time.Duration

	kills []kill
}

type kill struct {
	at    time.Time
	slots []int
}

// takeoverSlack is how much longer than its lease the slot of a killed worker may
// stand still.
const takeoverSlack = 5 * time.Second

// loadShare is the least share of the rate asked for that must have been produced:
// what stands up to few events proves little.
const loadShare = 0.8

// requireLoad makes sure that the workers had to do what the campaign asked for.
func (r *Report) requireLoad(rate int) {
	if got := r.rate(); got < loadShare*float64(rate) {
		r.Broken = append(r.Broken, fmt.Sprintf("events a second: %.0f, and %d were asked for", got, rate))
	}
}

func (r *Report) rate() float64 { return float64(r.Committed) / r.Produced.Seconds() }

// requireTakeovers makes sure that each kill took slots that were seen to move.
func (r *Report) requireTakeovers() {
	for _, h := range r.Hits {
		if len(h.kills) > 0 && h.Slots == 0 {
			r.Broken = append(r.Broken, fmt.Sprintf("no slot of a killed worker was seen to move (%s)", h))
		}
	}
}

func (h *Hit) String() string {
	s := fmt.Sprintf("%3d  %s  %-32s lasted %5.1fs  recovered in %5.1fs  duplicates %d", h.N, h.At.Format("15:04:05.000"), h.Fault, h.Lasted.Seconds(), h.Recovery.Seconds(), h.Duplicates)
	if h.Slots > 0 {
		s += fmt.Sprintf("  %d slots moved within %.1fs", h.Slots, h.Takeover.Seconds())
	}
	return s
}

// String is the summary for people.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events committed in %s (%.0f a second), %d records, %d duplicates, %d faults\n",
		r.Committed, r.Produced.Round(time.Second), r.rate(), r.Records, r.Duplicates, len(r.Hits))
	byFault := map[string][]*Hit{}
	for _, h := range r.Hits {
		byFault[h.Fault] = append(byFault[h.Fault], h)
	}
	fmt.Fprintf(&b, "%-32s %6s %14s %11s %14s\n", "fault", "times", "worst recovery", "duplicates", "worst takeover")
	for _, name := range slices.Sorted(maps.Keys(byFault)) {
		var recovery, takeover time.Duration
		duplicates := 0
		for _, h := range byFault[name] {
			recovery, takeover, duplicates = max(recovery, h.Recovery), max(takeover, h.Takeover), duplicates+h.Duplicates
		}
		fmt.Fprintf(&b, "%-32s %6d %13.1fs %11d", name, len(byFault[name]), recovery.Seconds(), duplicates)
		if takeover > 0 {
			fmt.Fprintf(&b, " %13.1fs", takeover.Seconds())
		}
		b.WriteString("\n")
	}
	return b.String()
}

// readSlots learns which slots the keys are in.
func (r *run) readSlots(ctx context.Context) error {
	db, err := pgx.ConnectConfig(ctx, r.direct)
	if err != nil {
		return err
	}
	rows, err := db.Query(ctx, `select distinct partition_key, hashtextextended(partition_key, hashtextextended(topic, 0)) & 63 from `+r.box.table)
	if err == nil {
		var key string
		var slot int
		_, err = pgx.ForEachRow(rows, []any{&key, &slot}, func() error { r.slots[key] = slot; return nil })
	}
	return errors.Join(err, db.Close(ctx))
}

// takeovers finds how long each slot of a killed worker stood still.
//
//  1. the worker sends a record and is killed
//  2. the broker appends the record
//
// So a record of the first moments does not count.
func (r *run) takeovers(ctx context.Context, hit *Hit) error {
	const onItsWay = 200 * time.Millisecond
	if len(hit.kills) == 0 || r.Ack != "" {
		return nil // an inbox's slot also stands still until its consumer has moved
	}
	deliveries, err := r.reader.All(ctx)
	if err != nil {
		return err
	}
	for _, k := range hit.kills {
		moved := map[int]time.Duration{}
		for _, d := range slices.Backward(deliveries) {
			if after := d.At.Sub(k.at); after > onItsWay {
				moved[r.slots[d.Key]] = after // the earliest is seen last
			}
		}
		for _, slot := range k.slots {
			if after, ok := moved[slot]; ok {
				hit.Slots++
				hit.Takeover = max(hit.Takeover, after)
			}
		}
	}
	if hit.Takeover > r.report.Bound {
		r.report.Broken = append(r.report.Broken, fmt.Sprintf("a killed worker's slot stood still for %s; at most %s are promised (%s)", hit.Takeover, r.report.Bound, hit))
	}
	return nil
}
