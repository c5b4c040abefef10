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
	return parseStat(text)
}

func parseStat(text []byte) (stat, bool) {
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
// Sessions of Postgres have no children of their own. It begins again when a
// child has ended meanwhile, which would be counted twice or not at all.
func processTree(pid int) float64 {
	for {
		before, ok := readStat(strconv.Itoa(pid))
		if !ok {
			return math.NaN()
		}
		children := liveChildren(pid)
		after, ok := readStat(strconv.Itoa(pid))
		if ok && after.children == before.children {
			return after.own + after.children + children
		}
	}
}

func liveChildren(pid int) (sum float64) {
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
