package bench

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// figures that have a line in the table, in this order.
var figures = []Figure{Rate, Micros, P50, P99, CPU, Backlog, Buffers}

// WriteTable writes a table in Markdown: of each figure the median and, behind
// it, the lowest and the highest round; ratios are those of the medians, and
// behind them is the lowest and the highest ratio within a round.
func (r *Results) WriteTable(w io.Writer) {
	fmt.Fprintln(w, "| what | median | rounds | ratio of medians | rounds | wanted | CPU s per 1,000 events: this process | Postgres |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|---:|---:|---:|")
	for _, v := range r.Variants {
		if len(r.samples[v.Name]) == 0 {
			continue
		}
		lead := v.Title
		for _, f := range figures {
			if math.IsNaN(r.Median(v.Name, f)) || f == CPU && v.wanted(CPU) == "" {
				continue
			}
			ratio, ratios := r.ratio(v, f)
			fmt.Fprintf(w, "| %s | %s %s | %s | %s | %s | %s | %s | %s |\n", lead, number(r.Median(v.Name, f)), f, r.spread(v, f),
				ratio, ratios, v.wanted(f), number(r.Median(v.Name, CPUOfSelf)), number(r.Median(v.Name, CPUOfPostgres)))
			lead = "″"
		}
	}
}

// spread says between what the rounds were; nothing if there was one.
func (r *Results) spread(v Variant, f Figure) string {
	if len(r.samples[v.Name]) < 2 {
		return ""
	}
	lowest, highest := r.Spread(v.Name, f)
	return number(lowest) + " to " + number(highest)
}

// ratio says how a figure compares, with what, and how in the rounds.
func (r *Results) ratio(v Variant, f Figure) (ratio, rounds string) {
	if v.Against == "" || f == Backlog || math.IsNaN(r.Ratio(v, f)) {
		return "", ""
	}
	ratio = fmt.Sprintf("%.2f × %s", r.Ratio(v, f), v.Against)
	if len(r.samples[v.Name]) > 1 {
		lowest, highest := r.RatioSpread(v, f)
		rounds = fmt.Sprintf("%.2f to %.2f", lowest, highest)
	}
	return ratio, rounds
}

// wanted lists the goals of a figure.
func (v Variant) wanted(f Figure) string {
	var all []string
	for _, g := range v.Goals {
		if g.Figure == f {
			all = append(all, g.String())
		}
	}
	return strings.Join(all, ", ")
}

// number writes three significant digits, with commas; nothing for NaN.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return ""
	case v >= 1000:
		digits := math.Pow(10, math.Floor(math.Log10(v))-2)
		return thousands(int64(math.Round(v/digits) * digits))
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
	}
	return fmt.Sprintf("%.3g", v)
}

func thousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
