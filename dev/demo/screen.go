package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// screen is where the demo talks to a person. On a terminal it has colours
// and a last line that changes in place.
type screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	status   string // the line that changes
}

// Colours of a terminal.
const (
	plain = "0"
	bold  = "1"
	faint = "2"
	green = "32"
	red   = "31"
	cyan  = "36"
)

func (s *screen) paint(colour, text string) string {
	if !s.terminal || colour == plain {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// print writes lines above the line that changes.
func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	fmt.Fprintln(s.out, text)
	fmt.Fprint(s.out, s.status)
}

func (s *screen) erase() {
	if s.status != "" {
		fmt.Fprint(s.out, "\r\x1b[2K")
	}
}

// live replaces the line that changes; an empty text takes it away. Without a
// terminal there is none.
func (s *screen) live(text string) {
	if !s.terminal {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	if s.status = ""; text != "" {
		s.status = s.paint(faint, "  "+text)
	}
	fmt.Fprint(s.out, s.status)
}

// title begins an act.
func (s *screen) title(text string) { s.print("\n" + s.paint(bold, text)) }

// say tells what happens.
func (s *screen) say(format string, args ...any) { s.print("    " + fmt.Sprintf(format, args...)) }

// fields shows names and values, long ones on several lines.
func (s *screen) fields(all [][2]string) {
	const width = 60
	for _, field := range all {
		name, line := field[0], ""
		for word := range strings.FieldsSeq(field[1]) {
			if line != "" && len(line)+1+len(word) > width {
				s.say("    %-7s %s", name, line)
				name, line = "", ""
			}
			line = strings.TrimSpace(line + " " + word)
		}
		s.say("    %-7s %s", name, line)
	}
}

// command shows what can be typed or opened elsewhere.
func (s *screen) command(text string) { s.print("      " + s.paint(cyan, text)) }

// good tells what was achieved.
func (s *screen) good(format string, args ...any) {
	s.print("  " + s.paint(green, "✓") + " " + fmt.Sprintf(format, args...))
}

// bad tells what was not.
func (s *screen) bad(format string, args ...any) {
	s.print("  " + s.paint(red, "✗") + " " + fmt.Sprintf(format, args...))
}

// Write lets servers tell of downloads.
func (s *screen) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		s.say("%s", strings.TrimSpace(line))
	}
	return len(p), nil
}
