package bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/omnibox-go/omnibox/dev/bench/lab"
)

// Figure is one thing that a run measures, named by its unit.
type Figure string

// The figures.
const (
	Rate          Figure = "events/s"
	Micros        Figure = "µs a transaction"
	P50           Figure = "p50, ms"
	P99           Figure = "p99, ms"
	Backlog       Figure = "pending events"
	Buffers       Figure = "buffers"
	CPU           Figure = "CPU s per 1,000"
	CPUOfSelf     Figure = "of this process"
	CPUOfPostgres Figure = "of Postgres"
)

// Sample is what one run measured.
type Sample map[Figure]float64

// Variant is one way to do the work.
type Variant struct {
	Name  string
	Title string
	// Against names the variant that this one is compared with, if any.
	Against string
	Goals   []Goal
	// Once: it counts what does not change from round to round.
	Once bool
	run  func(context.Context, Setup) (Sample, error)
}

// Goal bounds a figure, or its ratio to that of the variant compared with, from
// one side.
type Goal struct {
	Figure          Figure
	Absolute        bool
	AtLeast, AtMost float64
}

// Setup is what all runs share.
type Setup struct {
	Lab *lab.Lab
	// Events that are brought to Kafka in a run that measures a rate.
	Events int
	// Children is how many workflows there are in a run that measures their rate.
	Children int
	// Transactions of a producer, at most; fewer when they are large.
	Transactions int
	// Latency is how long a run lasts that measures latency, at least 2 s.
	Latency time.Duration
	// Backlog of the larger of two fetches.
	Backlog int
}

// Full is the setup whose figures may be quoted; Quick takes a fraction of the
// time, for figures that are less certain.
var (
	Full  = Setup{Events: 50_000, Children: 1000, Transactions: 1000, Latency: 20 * time.Second, Backlog: 2_000_000}
	Quick = Setup{Events: 20_000, Children: 300, Transactions: 200, Latency: 5 * time.Second, Backlog: 200_000}
)

// All variants, in the order of the table.
func All() []Variant {
	return slices.Concat(loops(), lanes(), children(), enqueues(), latencies(), landings(), handlings(), buffers())
}

// Select gives the named variants and what they are compared with; all if no
// name is given.
func Select(all []Variant, names []string) ([]Variant, error) {
	if len(names) == 0 {
		return all, nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		i := slices.IndexFunc(all, func(v Variant) bool { return v.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no variant %q: there are %v", name, nameList(all))
		}
		wanted[name], wanted[all[i].Against] = true, true
	}
	return slices.DeleteFunc(slices.Clone(all), func(v Variant) bool { return !wanted[v.Name] }), nil
}

func nameList(variants []Variant) (names []string) {
	for _, v := range variants {
		names = append(names, v.Name)
	}
	return names
}

// Results are the samples of each variant, a round each.
type Results struct {
	Variants []Variant
	samples  map[string][]Sample
}

// Run measures the variants in turn, round by round, and tells progress of each
// run in a line. What was measured before an error is in the results.
func Run(ctx context.Context, s Setup, variants []Variant, rounds int, progress io.Writer) (*Results, error) {
	r := &Results{Variants: variants, samples: map[string][]Sample{}}
	for round := range rounds {
		for _, v := range variants {
			if v.Once && round > 0 {
				continue
			}
			sample, err := v.run(ctx, s)
			if err != nil {
				return r, fmt.Errorf("%s: %w", v.Name, err)
			}
			r.samples[v.Name] = append(r.samples[v.Name], sample)
			fmt.Fprintf(progress, "round %d of %d  %-22s %s\n", round+1, rounds, v.Name, sample)
		}
	}
	return r, nil
}

// String lists the figures in the order of the table.
func (s Sample) String() string {
	var all []string
	for _, f := range slices.Concat(figures, []Figure{CPUOfSelf, CPUOfPostgres}) {
		if v, measured := s[f]; measured && !math.IsNaN(v) {
			all = append(all, fmt.Sprintf("%s %s", number(v), f))
		}
	}
	return strings.Join(all, ", ")
}

// Median of a figure over all rounds; NaN if it was not measured.
func (r *Results) Median(variant string, f Figure) float64 { return median(r.values(variant, f)) }

// Spread of a figure: its lowest and highest value in any round.
func (r *Results) Spread(variant string, f Figure) (lowest, highest float64) {
	return spread(r.values(variant, f))
}

// Ratio of a figure to that of the variant which v is compared with: of the
// medians, so that it is the ratio of the figures that are told.
func (r *Results) Ratio(v Variant, f Figure) float64 {
	return r.Median(v.Name, f) / r.Median(v.Against, f)
}

// RatioSpread is the lowest and the highest ratio within a round.
func (r *Results) RatioSpread(v Variant, f Figure) (lowest, highest float64) {
	own, other := r.samples[v.Name], r.samples[v.Against]
	var all []float64
	for round := range min(len(own), len(other)) {
		a, measured := own[round][f]
		b, comparable := other[round][f]
		if measured && comparable {
			all = append(all, a/b)
		}
	}
	return spread(all)
}

func (r *Results) values(variant string, f Figure) (all []float64) {
	for _, s := range r.samples[variant] {
		if v, ok := s[f]; ok {
			all = append(all, v)
		}
	}
	return all
}

func spread(values []float64) (lowest, highest float64) {
	if len(values) == 0 {
		return math.NaN(), math.NaN()
	}
	return slices.Min(values), slices.Max(values)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// Missed lists the goals that were not reached, a sentence each. A figure that
// cannot be measured on this system misses nothing.
func (r *Results) Missed() (missed []string) {
	for _, v := range r.Variants {
		for _, g := range v.Goals {
			value, of := r.Ratio(v, g.Figure), fmt.Sprintf(" × that of %s", v.Against)
			if g.Absolute {
				value, of = r.Median(v.Name, g.Figure), ""
			}
			if g.AtLeast > 0 && value < g.AtLeast || g.AtMost > 0 && value > g.AtMost {
				missed = append(missed, fmt.Sprintf("%s: %s: %s%s, wanted %s", v.Name, g.Figure, number(value), of, g))
			}
		}
	}
	return missed
}

// String says the bound.
func (g Goal) String() string {
	unit := " ×"
	if g.Absolute {
		unit = ""
	}
	if g.AtLeast > 0 {
		return "≥ " + number(g.AtLeast) + unit
	}
	return "≤ " + number(g.AtMost) + unit
}

// cost adds the CPU time of a run to a sample.
func (s Sample) cost(used lab.Usage, events int) Sample {
	thousands := float64(events) / 1000
	s[CPUOfSelf] = used.Self / thousands
	s[CPUOfPostgres] = used.Postgres / thousands
	s[CPU] = s[CPUOfSelf] + s[CPUOfPostgres]
	return s
}
