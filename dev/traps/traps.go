// Package traps knows the ways in which systems like this one have broken, and
// finds the tests that keep omnibox from each: a test says so in its comment,
// as in "// trap: 5". The table is in docs/traps.md.
package traps

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Trap is one way to break.
type Trap struct {
	ID    string
	What  string
	Later bool // belongs to a part that is not there yet
}

// All traps, in the order of the table.
var All = []Trap{
	{ID: "1", What: "order of ids is not order of commits: a cursor loses late commits"},
	{ID: "2", What: "transactions that overlap write one key"},
	{ID: "3", What: "a retry lets later events of the key overtake, or kills the key"},
	{ID: "4", What: "a failure in the middle of a batch reorders what is behind it"},
	{ID: "5", What: "`update … returning` has no order"},
	{ID: "6", What: "two generations of workers run at once, with other shards"},
	{ID: "7", What: "a deferral changes the due time, and with it the order"},
	{ID: "8", What: "after a restore from a dump something is skipped"},
	{ID: "9", What: "a lease shorter than publish plus commit"},
	{ID: "10", What: "an owner's name is not a fence"},
	{ID: "11", What: "a paused process wakes and commits"},
	{ID: "12", What: "an event that kills its worker loops for ever"},
	{ID: "13", What: "an outage uses the attempts up"},
	{ID: "14", What: "an open breaker counts as an attempt"},
	{ID: "15", What: "a late update takes a row out of a final state"},
	{ID: "16", What: "more replicas make retries come sooner"},
	{ID: "17", What: "shutdown counts as failure, or leaves rows locked"},
	{ID: "18", What: "the connection breaks after COMMIT was sent"},
	{ID: "19", What: "a limited sub-select runs again and takes too many rows"},
	{ID: "20", What: "the process's clock against the database's"},
	{ID: "21", What: "two retry engines multiply the attempts"},
	{ID: "22", What: "a partitioned table's unique index lets duplicates pass"},
	{ID: "23", What: "“seen” is committed before the handler succeeded"},
	{ID: "24", What: "a handler's writes escape its transaction"},
	{ID: "25", What: "the dedup window is shorter than the redelivery horizon"},
	{ID: "26", What: "the consumer reads past a message that it did not commit"},
	{ID: "27", What: "a poison message blocks a partition, or is acknowledged away"},
	{ID: "28", What: "`on conflict do nothing` without a target swallows other violations"},
	{ID: "29", What: "NOTIFY's global lock slows producers down"},
	{ID: "30", What: "LISTEN is dead behind a pooler"},
	{ID: "31", What: "the planner leaves the due index as tables grow"},
	{ID: "32", What: "retention deletes unbounded, or deadlocks", Later: true},
	{ID: "33", What: "a dropped partition holds live rows; a missing one fails producers", Later: true},
	{ID: "34", What: "a broker call inside a database transaction"},
	{ID: "35", What: "the documented least privileges do not suffice"},
	{ID: "36", What: "a cancelled or timed-out produce of unknown outcome"},
	{ID: "37", What: "ambiguous errors of the broker get the wrong class"},
	{ID: "38", What: "a dead letter without its row, or the row without its letter"},
	{ID: "39", What: "a requeue by hand that nothing fetches"},
	{ID: "40", What: "replicas report different gauges; dashboards name metrics that do not exist"},
	{ID: "41", What: "metrics registered twice; constraint names cut at 63 bytes"},
	{ID: "T1", What: "a child that was requested just before its parent ended never starts"},
	{ID: "T2", What: "children do not survive continue-as-new"},
	{ID: "T3", What: "payloads in histories, logs or errors"},
	{ID: "T4", What: "idle polling costs history and statements"},
	{ID: "T5", What: "deduplication by workflow id ends with retention"},
	{ID: "T6", What: "a changed workflow breaks those that run"},
	{ID: "T7", What: "a workflow for a row that rolled back, or twice for one"},
	{ID: "T8", What: "starts of workflows fail for a while"},
	{ID: "T9", What: "Temporal down stalls, Temporal back stampedes"},
	{ID: "T10", What: "a changed schedule is not applied", Later: true},
	{ID: "T11", What: "signals are lost at continue-as-new"},
	{ID: "T12", What: "a worker that lacks what it needs swallows work"},
	{ID: "T13", What: "limits of visibility on SQL"},
}

// Test that covers a trap.
type Test struct {
	Package, Name string
}

var (
	mark     = regexp.MustCompile(`^\s*// traps?: ([T0-9, ]+)`)
	testFunc = regexp.MustCompile(`^func (\w+)\(|^\s*(?:t\.Run|\{)\(?"([^"]+)"`)
)

// Find reads every test below root and gives the tests of each trap.
func Find(root string) (map[string][]Test, error) {
	found := map[string][]Test{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		collect(found, filepath.ToSlash(rel), strings.Split(string(text), "\n"))
		return nil
	})
	return found, err
}

// collect ties each mark to the test that begins next.
func collect(found map[string][]Test, pkg string, lines []string) {
	var pending []string
	for _, line := range lines {
		if m := mark.FindStringSubmatch(line); m != nil {
			pending = append(pending, strings.FieldsFunc(m[1], func(r rune) bool { return r == ',' || r == ' ' })...)
			continue
		}
		m := testFunc.FindStringSubmatch(line)
		if m == nil || len(pending) == 0 {
			continue
		}
		for _, id := range pending {
			found[id] = append(found[id], Test{Package: pkg, Name: cmp.Or(m[1], m[2])})
		}
		pending = nil
	}
}

// Table is docs/traps.md.
func Table(found map[string][]Test) string {
	var b strings.Builder
	b.WriteString("# Traps\n\nWays in which systems like this one have broken, and the tests that keep omnibox from them.\n" +
		"Made by `go test ./dev/traps -update`; the same test fails when a trap has no test.\n\n| | trap | tests |\n|---|---|---|\n")
	for _, trap := range All {
		var tests []string
		for _, t := range found[trap.ID] {
			tests = append(tests, fmt.Sprintf("`%s` in %s", t.Name, t.Package))
		}
		slices.Sort(tests)
		text := strings.Join(slices.Compact(tests), ", ")
		if text == "" && trap.Later {
			text = "with a part that is not there yet"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", trap.ID, trap.What, text)
	}
	return b.String()
}
