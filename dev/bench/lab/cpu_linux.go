package lab

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
)

// ticks a second in /proc, the same on all machines that Go runs on.
const ticks = 100

// stat is what /proc/<pid>/stat says of a process: its parent, the CPU time of
// itself, and of those children that have ended.
type stat struct {
	parent        int
	own, children float64
}

func readStat(pid string) (stat, bool) {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return stat{}, false // it has ended
	}
	// the name, in brackets, may have blanks and brackets in it
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 15 {
		return stat{}, false
	}
	number := func(i int) float64 {
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return math.NaN()
		}
		return float64(n)
	}
	return stat{
		parent:   int(number(1)),
		own:      (number(11) + number(12)) / ticks,
		children: (number(13) + number(14)) / ticks,
	}, true
}

func process(pid int) float64 {
	s, ok := readStat(strconv.Itoa(pid))
	if !ok {
		return math.NaN()
	}
	return s.own
}

// processTree adds up a process, its children, and those that have ended.
// Sessions of Postgres have no children of their own.
func processTree(pid int) float64 {
	root, ok := readStat(strconv.Itoa(pid))
	if !ok {
		return math.NaN()
	}
	sum := root.own + root.children
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return math.NaN()
	}
	for _, dir := range all {
		if s, ok := readStat(filepath.Base(dir)); ok && s.parent == pid {
			sum += s.own
		}
	}
	return sum
}
