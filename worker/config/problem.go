package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// MistakeError is one mistake in the configuration.
type MistakeError struct {
	// Where it is: file:line or the name of an environment variable. Empty if
	// something is missing everywhere.
	Where string
	// Path of the key, such as outboxes.orders.batch.
	Path string
	// Text says what is wrong and what would be right.
	Text string
}

func (p *MistakeError) Error() string {
	parts := slices.DeleteFunc([]string{p.Where, p.Path, p.Text}, func(s string) bool { return s == "" })
	return strings.Join(parts, ": ")
}

// line in the file; what comes from elsewhere goes behind.
func (p *MistakeError) line() int {
	line, err := strconv.Atoi(p.Where[strings.LastIndexByte(p.Where, ':')+1:])
	if err != nil {
		return math.MaxInt
	}
	return line
}

type problems []*MistakeError

// err joins the problems in the order of their lines; nil if there are none.
func (ps problems) err() error {
	slices.SortStableFunc(ps, func(a, b *MistakeError) int { return cmp.Compare(a.line(), b.line()) })
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// without leaves out the problems at or below paths; * stands for any name.
func (ps problems) without(paths ...string) problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p *MistakeError) bool {
		return slices.ContainsFunc(paths, func(path string) bool { return below(p.Path, path) })
	})
}

func below(path, pattern string) bool {
	have, want := strings.Split(path, "."), strings.Split(pattern, ".")
	if len(have) < len(want) {
		return false
	}
	for i := range want {
		if want[i] != "*" && want[i] != have[i] {
			return false
		}
	}
	return true
}

// suggest says which of the valid words was probably meant.
func suggest(word string, valid []string) string {
	if best, ok := meant(word, valid); ok {
		return fmt.Sprintf("did you mean %s?", best)
	}
	sorted := slices.Sorted(slices.Values(valid))
	return "valid are " + strings.Join(sorted, ", ")
}

// meant is the valid word that word was probably to be, if there is one.
func meant(word string, valid []string) (string, bool) {
	best := nearest(word, valid)
	return best, distance(word, best) <= max(2, len(word)/3)
}

// nearest is the valid word that is most like word.
func nearest(word string, valid []string) string {
	return slices.MinFunc(valid, func(a, b string) int {
		return cmp.Or(cmp.Compare(distance(word, a), distance(word, b)), cmp.Compare(a, b))
	})
}

// distance is how many letters must be changed, added or left out to make b of
// a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
