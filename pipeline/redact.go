package pipeline

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/omnibox-go/omnibox"
)

const (
	redacted = "[payload]"
	// window is the shortest stretch of payload that is recognised anywhere in
	// a message. Whole string values are recognised from minValue on.
	window   = 12
	minValue = 4
	maxText  = 16 << 10
)

// Redact takes every stretch of the event's payload out of text: raw, quoted,
// in base64 or hex, or as numbers; and every string value of it, however it is embedded. It is
// meant for error messages, which steps and drivers build from what they were
// given. Values shorter than 4 characters are left, as they say nothing alone.
func Redact(text string, e *omnibox.Event) string {
	text = text[:min(len(text), maxText)] // the row takes far less
	hide := make([]bool, len(text))
	raw, err := encode(e.Payload)
	if err != nil {
		return redacted // nobody can tell what is not of it
	}
	for _, secret := range [][]byte{raw, e.Body} {
		if len(secret) == 0 {
			continue
		}
		for _, form := range forms(secret) {
			mark(hide, text, form)
		}
	}
	if len(raw) > 0 {
		markValues(hide, text, raw)
	}
	return cover(text, hide)
}

// forms are the ways in which a payload usually gets into a message.
func forms(b []byte) [][]byte {
	quoted := strconv.Quote(string(b))
	all := [][]byte{
		b, []byte(quoted[1 : len(quoted)-1]),
		[]byte(hex.EncodeToString(b)), fmt.Appendf(nil, "%X", b),
		bytes.Trim(fmt.Append(nil, b), "[]"), // as %v prints bytes
	}
	// base64 of the middle of a payload depends on where the middle begins
	for skip := range min(3, len(b)) {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			all = append(all, []byte(enc.EncodeToString(b[skip:])))
		}
	}
	return all
}

// mark hides each stretch of text that is also in secret and at least window
// bytes long, or that is all of secret.
func mark(hide []bool, text string, secret []byte) {
	if len(secret) < window {
		markAll(hide, text, string(secret))
		return
	}
	if len(text) < window {
		return
	}
	grams := make(map[string][]int, len(text))
	for i := range len(text) - window + 1 {
		grams[text[i:i+window]] = append(grams[text[i:i+window]], i)
	}
	for j := range len(secret) - window + 1 {
		for _, i := range grams[string(secret[j:j+window])] {
			setRange(hide, i, window)
		}
	}
}

func markAll(hide []bool, text, secret string) {
	if len(secret) < minValue {
		return
	}
	for from := 0; ; {
		i := strings.Index(text[from:], secret)
		if i < 0 {
			return
		}
		setRange(hide, from+i, len(secret))
		from += i + 1
	}
}

func setRange(hide []bool, from, n int) {
	for i := from; i < from+n; i++ {
		hide[i] = true
	}
}

// markValues hides the strings and numbers inside a JSON payload. The names of
// its fields are not secret: a person needs them.
func markValues(hide []bool, text string, raw []byte) {
	for value := range values(raw) {
		if len(value) < minValue || len(value) > len(text) {
			continue
		}
		quoted := strconv.Quote(value)
		markAll(hide, text, value)
		markAll(hide, text, quoted[1:len(quoted)-1])
		markAll(hide, text, base64.RawStdEncoding.EncodeToString([]byte(value)))
	}
}

// values are the strings and numbers of a JSON text, without field names. What
// is not JSON ends them: the whole of it is hidden as one stretch.
func values(raw []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		var objects []bool // the nesting: true for an object
		name := false      // the next token is a field's name
		for {
			token, err := dec.Token()
			if err != nil {
				return
			}
			isName := name
			switch v := token.(type) {
			case json.Delim:
				isName = false
				if v == '{' || v == '[' {
					objects = append(objects, v == '{')
				} else {
					objects = objects[:len(objects)-1]
				}
			case string:
				if !isName && !yield(v) {
					return
				}
			case json.Number:
				if !yield(v.String()) {
					return
				}
			}
			name = len(objects) > 0 && objects[len(objects)-1] && !isName
		}
	}
}

// cover replaces each hidden stretch by one word.
func cover(text string, hide []bool) string {
	var b strings.Builder
	for i := range len(text) {
		if !hide[i] {
			b.WriteByte(text[i])
		} else if i == 0 || !hide[i-1] {
			b.WriteString(redacted)
		}
	}
	return strings.ToValidUTF8(b.String(), "")
}
