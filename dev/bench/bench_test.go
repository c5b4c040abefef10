package bench

import (
	"bytes"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/bench/lab"
	"github.com/omnibox-go/omnibox/dev/devtest"
)

func TestMain(m *testing.M) {
	if IsLoad() { // started by a test of latency
		os.Exit(Load(os.Stdin, os.Stdout, os.Stderr))
	}
	devtest.Main(m)
}

// Every variant does its work: what is sent and what is left is checked by each
// run itself.
func TestVariantsDoTheirWork(t *testing.T) {
	s := Setup{Events: 1500, Transactions: 3, Latency: 2 * time.Second, Backlog: 12_000}
	var err error
	s.Lab, err = lab.New(t.Context(), devtest.Postgres(t), devtest.Brokers(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Lab.Close(t.Context())) })
	for _, v := range All() {
		if v.Name == "worker" || slices.ContainsFunc(children(), func(c Variant) bool { return c.Name == v.Name }) {
			continue // has tests of its own, and needs Temporal
		}
		t.Run(v.Name, func(t *testing.T) {
			sample, err := v.run(t.Context(), s)
			require.NoError(t, err)
			require.NotEmpty(t, sample)
			for f, value := range sample {
				require.False(t, value < 0 || math.IsInf(value, 0), "%s is %v", f, value)
			}
			for _, g := range v.Goals {
				require.Contains(t, sample, g.Figure, "a goal for what is not measured")
			}
		})
	}
}

func TestSelectBringsWhatIsComparedWith(t *testing.T) {
	got, err := Select(All(), []string{"lane"})
	require.NoError(t, err)
	require.Equal(t, []string{"update-loop", "lane"}, nameList(got))

	_, err = Select(All(), []string{"lone"})
	require.ErrorContains(t, err, `no variant "lone"`)

	got, err = Select(All(), nil)
	require.NoError(t, err)
	require.Len(t, got, len(All()))
}

func TestVariantsAreComparedWithEarlierOnes(t *testing.T) {
	seen := map[string]bool{"": true}
	for _, v := range All() {
		require.False(t, seen[v.Name], "%s twice", v.Name)
		require.True(t, seen[v.Against], "%s is compared with %q", v.Name, v.Against)
		seen[v.Name] = true
	}
}

// results of two variants, in rounds of which the second is slow for both.
func results() *Results {
	return &Results{
		Variants: []Variant{
			{Name: "a", Title: "loop"},
			{Name: "b", Title: "lane", Against: "a", Goals: []Goal{
				{Figure: Rate, AtLeast: 0.85},
				{Figure: P99, AtMost: 50, Absolute: true},
				{Figure: CPU, AtMost: 1.5},
			}},
		},
		samples: map[string][]Sample{
			"a": {{Rate: 40_000, CPUOfSelf: 0.01}, {Rate: 20_000, CPUOfSelf: 0.02}, {Rate: 41_000, CPUOfSelf: 0.03}},
			"b": {{Rate: 36_000, P99: 20, CPU: math.NaN()}, {Rate: 16_000, P99: 60, CPU: math.NaN()}, {Rate: 32_800, P99: 70, CPU: math.NaN()}},
		},
	}
}

// Whoever divides two figures of the table gets the ratio beside them.
func TestRatioIsThatOfTheMedians(t *testing.T) {
	r := results()
	require.InDelta(t, 40_000, r.Median("a", Rate), 0)
	require.InDelta(t, 32_800, r.Median("b", Rate), 0)
	require.InDelta(t, 32_800.0/40_000, r.Ratio(r.Variants[1], Rate), 1e-9)
	lowest, highest := r.Spread("b", Rate)
	require.Equal(t, []float64{16_000, 36_000}, []float64{lowest, highest})
	lowest, highest = r.RatioSpread(r.Variants[1], Rate)
	require.InDelta(t, 0.8, lowest, 1e-9)
	require.InDelta(t, 0.9, highest, 1e-9)
	require.True(t, math.IsNaN(r.Median("a", Buffers)))
}

// A goal on a figure that this system does not measure misses nothing.
func TestMissedGoals(t *testing.T) {
	require.Equal(t, []string{
		"b: events/s: 0.82 × that of a, wanted ≥ 0.85 ×",
		"b: p99, ms: 60.0, wanted ≤ 50.0",
	}, results().Missed())
}

func TestTable(t *testing.T) {
	var text bytes.Buffer
	results().WriteTable(&text)
	require.Equal(t, `| what | median | rounds | ratio of medians | rounds | wanted | CPU s per 1,000 events: this process | Postgres |
|---|---:|---:|---:|---:|---:|---:|---:|
| loop | 40,000 events/s | 20,000 to 41,000 |  |  |  | 0.02 |  |
| lane | 32,800 events/s | 16,000 to 36,000 | 0.82 × a | 0.80 to 0.90 | ≥ 0.85 × |  |  |
| ″ | 60.0 p99, ms | 20.0 to 70.0 |  |  | ≤ 50.0 |  |  |
`, text.String())
}

func TestNumbersHaveThreeDigits(t *testing.T) {
	for want, v := range map[string]float64{
		"1,230,000": 1_234_567, "36,800": 36_789, "1,000": 999.96e0 + 0.04, "123": 123.4, "12.3": 12.34,
		"1.5": 1.5, "1": 1, "0.0123": 0.01234, "0": 0, "": math.NaN(),
	} {
		require.Equal(t, want, number(v))
	}
}

func TestSeqScanIsFoundAnywhereInAPlan(t *testing.T) {
	p := &plans{}
	p.note(`duration: 1.5 ms  plan:
{"Query Text": "select 1", "Plan": {"Node Type": "Sort", "Shared Hit Blocks": 7, "Shared Read Blocks": 3,
	"Plans": [{"Node Type": "Index Scan", "Relation Name": "outbox_events"}, {"Node Type": "Seq Scan", "Relation Name": "holds"}]}}`)
	p.note("some other notice")
	require.NoError(t, p.check("outbox_events"))
	require.InDelta(t, 10, p.buffers(), 0)

	p.note(`duration: 1.5 ms  plan:
{"Query Text": "select 2", "Plan": {"Node Type": "Sort", "Plans": [{"Node Type": "Limit", "Plans": [{"Node Type": "Seq Scan", "Relation Name": "outbox_events"}]}]}}`)
	require.ErrorContains(t, p.check("outbox_events"), "select 2")

	require.Error(t, (&plans{}).check("outbox_events"), "nothing was explained")
}
