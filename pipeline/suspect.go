package pipeline

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// suspectText is a text that may hold parts of a payload. It is short, payloads
// are long, and a message rarely holds any of one, so a payload is not compared
// but sampled: of each stretch of window bytes one group of 8, which begins at a
// multiple of 5, is looked up among those of the text. Only when the text may
// have it are the stretches around it compared.
type suspectText struct {
	text    string
	hide    []bool
	escapes bool // it has backslashes
	urls    bool // it has characters that only base64 of URLs has
	// Groups of bytes that the text may have; it has no others.
	long, short bitmap
	// windows of the text; true if the payload has it too. Nil until needed.
	windows map[[window]byte]bool
	done    map[string]bool // short secrets that were looked for
}

const (
	// sample bytes begin every sampleStep, so that each window has one sample.
	sample     = 8
	sampleStep = window - sample + 1
)

func newSuspectText(text string) *suspectText {
	t := &suspectText{
		text: text, hide: make([]bool, len(text)), done: map[string]bool{},
		escapes: strings.Contains(text, `\`), urls: strings.ContainsAny(text, "-_"),
		long: newBitmap(len(text)), short: newBitmap(len(text)),
	}
	b := []byte(text)
	for i := range b {
		if i+sample <= len(b) {
			t.long.add(gram8(b[i:]))
		}
		if i+minValue <= len(b) {
			t.short.add(gram4(b[i:]))
		}
	}
	return t
}

// hasRun tells whether the text has a stretch of characters of the class that is
// as long as a window. Ranges in the class are written as 0-9.
func (t *suspectText) hasRun(class string) bool {
	var in [256]bool
	for i := 0; i < len(class); i++ {
		if i+2 < len(class) && class[i+1] == '-' {
			for c := class[i]; c <= class[i+2]; c++ {
				in[c] = true
			}
			i += 2
			continue
		}
		in[class[i]] = true
	}
	run := 0
	for i := range len(t.text) {
		if run++; !in[t.text[i]] {
			run = 0
		}
		if run == window {
			return true
		}
	}
	return false
}

// mark hides each stretch of the text that is also in secret and at least window
// bytes long, or that is all of secret.
func (t *suspectText) mark(secret []byte) {
	if len(secret) < window {
		t.markShort(secret)
		return
	}
	for at := 0; at+sample <= len(secret); at += sampleStep {
		if t.long.has(gram8(secret[at:])) {
			t.markAround(secret, at)
		}
	}
}

// markAround compares the windows in which the sample is.
func (t *suspectText) markAround(secret []byte, at int) {
	if t.windows == nil {
		t.windows = make(map[[window]byte]bool, len(t.text))
		for i := range len(t.text) - window + 1 {
			t.windows[[window]byte([]byte(t.text[i:i+window]))] = false
		}
	}
	for from := max(0, at-(window-sample)); from <= at && from+window <= len(secret); from++ {
		w := [window]byte(secret[from:])
		if found, has := t.windows[w]; has && !found {
			t.windows[w] = true
		}
	}
}

func (t *suspectText) markShort(secret []byte) {
	n := len(secret)
	if n < minValue || !t.short.has(gram4(secret)) || !t.short.has(gram4(secret[n-minValue:])) || t.done[string(secret)] {
		return
	}
	t.done[string(secret)] = true
	for from := 0; ; from++ {
		i := strings.Index(t.text[from:], string(secret))
		if i < 0 {
			return
		}
		from += i
		t.setHidden(from, n)
	}
}

func (t *suspectText) setHidden(from, n int) {
	for i := from; i < from+n; i++ {
		t.hide[i] = true
	}
}

// cover gives the text with each hidden stretch replaced by one word.
func (t *suspectText) cover() string {
	for i := 0; t.windows != nil && i+window <= len(t.text); i++ {
		if t.windows[[window]byte([]byte(t.text[i:i+window]))] {
			t.setHidden(i, window)
		}
	}
	var b strings.Builder
	for i := range len(t.text) {
		if !t.hide[i] {
			b.WriteByte(t.text[i])
		} else if i == 0 || !t.hide[i-1] {
			b.WriteString(redacted)
		}
	}
	return strings.ToValidUTF8(b.String(), "")
}

func gram4(b []byte) uint64 { return uint64(binary.LittleEndian.Uint32(b)) }
func gram8(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// bitmap is a set that may claim to have what it has not.
type bitmap struct {
	bits  []uint64
	shift int
}

// newBitmap has room for n members, so that it errs about once in 64 times.
func newBitmap(n int) bitmap {
	log := max(10, bits.Len(uint(n))+6)
	return bitmap{bits: make([]uint64, 1<<(log-6)), shift: 64 - log}
}

func (b bitmap) place(gram uint64) (word int, bit uint64) {
	at := gram * 0x9e3779b97f4a7c15 >> b.shift
	return int(at >> 6), 1 << (at & 63)
}

func (b bitmap) add(gram uint64) {
	word, bit := b.place(gram)
	b.bits[word] |= bit
}

func (b bitmap) has(gram uint64) bool {
	word, bit := b.place(gram)
	return b.bits[word]&bit != 0
}
