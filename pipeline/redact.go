package pipeline

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"iter"
	"strconv"

	"github.com/omnibox-go/omnibox"
)

const (
	redacted = "[payload]"
	// window is the shortest stretch of payload that is recognised anywhere in
	// a message. Whole values are recognised from minValue on.
	window   = 12
	minValue = 4
	maxText  = 16 << 10
)

// Redact takes every stretch of the event's payload out of text: raw, quoted as
// Go or JSON does it, in base64 or hex, or as numbers; and every string and number
// in it, however it is embedded. It is meant for error messages, which steps and
// drivers build from what they were given. Values shorter than 4 characters are
// left, as they say nothing alone. Its time grows with the payload: the largest
// takes a few milliseconds.
func Redact(text string, e *omnibox.Event) string {
	raw, err := encode(e.Payload)
	if err != nil {
		return redacted // nobody can tell what is not of it
	}
	t := newSuspectText(text[:min(len(text), maxText)]) // the row takes far less
	t.markSecret(raw)
	t.markSecret(e.Body)
	for value := range values(raw) {
		t.markValue(value)
	}
	return t.cover()
}

// markSecret hides the ways in which a payload usually gets into a message. To
// make a form takes longer than to look for it, so of a long payload only those
// are made for which the text has the characters.
func (t *suspectText) markSecret(b []byte) {
	const long = 64
	has := func(class string) bool { return len(b) < long || t.hasRun(class) }
	t.mark(b)
	if t.escapes {
		for _, form := range quoted(string(b)) {
			t.mark(form)
		}
		var html bytes.Buffer
		json.HTMLEscape(&html, b)
		t.mark(html.Bytes())
	}
	if has("0-9a-f") {
		t.mark(hex.AppendEncode(nil, b))
	}
	if has("0-9A-F") {
		t.mark(bytes.ToUpper(hex.AppendEncode(nil, b)))
	}
	if has("0-9 ") {
		t.mark(numbers(b))
	}
	if !has("0-9A-Za-z+/_-") {
		return
	}
	// base64 of the middle of a payload depends on where the middle begins
	for skip := range min(3, len(b)) {
		form := base64.RawStdEncoding.AppendEncode(nil, b[skip:])
		t.mark(form)
		if t.urls { // base64 of URLs
			t.mark(bytes.ReplaceAll(bytes.ReplaceAll(form, []byte("+"), []byte("-")), []byte("/"), []byte("_")))
		}
	}
}

// markValue hides a string or number of a payload. The names of fields are not
// secret: a person needs them.
func (t *suspectText) markValue(v []byte) {
	if len(v) < minValue {
		return
	}
	t.mark(v)
	if t.escapes && !plain(v) {
		for _, form := range quoted(string(v)) {
			t.mark(form)
		}
	}
	// 3 bytes are 4 of base64
	var first [minValue]byte
	if base64.RawStdEncoding.Encode(first[:], v[:3]); t.short.has(gram4(first[:])) {
		t.mark(base64.RawStdEncoding.AppendEncode(nil, v))
	}
}

// quoted are the forms of s as a string of Go and of JSON, without the quotes.
func quoted(s string) [][]byte {
	var plain, escaped bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // of a string there is no error
	enc = json.NewEncoder(&escaped)
	_ = enc.Encode(s)
	unquoted := func(b []byte) []byte { return bytes.TrimSuffix(b, []byte("\n"))[1:] }
	all := [][]byte{strconv.AppendQuote(nil, s)[1:], unquoted(plain.Bytes()), unquoted(escaped.Bytes())}
	for i, form := range all {
		all[i] = form[:len(form)-1]
	}
	return all
}

// plain tells whether b is the same in quotes.
func plain(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// numbers is b as %v prints bytes, without the brackets.
func numbers(b []byte) []byte {
	out := make([]byte, 0, 4*len(b))
	for _, c := range b {
		out = append(strconv.AppendUint(out, uint64(c), 10), ' ')
	}
	return bytes.TrimSuffix(out, []byte(" "))
}

// values are the strings and numbers of a JSON text, without field names.
func values(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; i < len(raw); {
			from := i
			switch c := raw[i]; {
			case c == '"':
				value, end := stringAt(raw, i)
				i = end
				if isName(raw[end:]) || yield(value) {
					continue
				}
				return
			case c == '-' || c >= '0' && c <= '9':
				for i < len(raw) && bytes.IndexByte([]byte("+-.0123456789Ee"), raw[i]) >= 0 {
					i++
				}
				if !yield(raw[from:i]) {
					return
				}
			default:
				i++
			}
		}
	}
}

// stringAt is the string whose quote is at from, and where it ends.
func stringAt(raw []byte, from int) (value []byte, end int) {
	escaped := false
	for end = from + 1; end < len(raw) && raw[end] != '"'; end++ {
		if raw[end] == '\\' {
			escaped = true
			end++
		}
	}
	end = min(end, len(raw))
	value = raw[from+1 : end]
	end = min(end+1, len(raw))
	var s string
	if escaped && json.Unmarshal(raw[from:end], &s) == nil {
		value = []byte(s)
	}
	return value, end
}

// isName tells whether what stands before rest was the name of a field.
func isName(rest []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(":"))
}
