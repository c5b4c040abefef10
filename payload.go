package omnibox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// content checks payload or body, and makes the payload a json.RawMessage.
func (v *validator) content(e *Event) {
	if e.Body != nil {
		v.body(e)
		return
	}
	if e.ContentType != "" {
		v.add("ContentType", RuleConflict, 0, 0, "is for a Body; a Payload is JSON")
	}
	if e.Payload == nil {
		v.add("Payload", RuleRequired, 0, 0, "is required, or a Body")
		return
	}
	compact, err := encode(e.Payload)
	if err != nil {
		v.add("Payload", RuleFormat, 0, 0, "%s", err)
		return
	}
	e.Payload = compact
	switch {
	case compact[0] != '{':
		v.add("Payload", RuleFormat, 0, 0, "must be a JSON object")
		return
	case len(compact) == len("{}"):
		v.add("Payload", RuleRequired, 0, 0, "must not be an empty object")
		return
	}
	v.stored(compact)
}

// stored checks what compact JSON becomes in the database.
func (v *validator) stored(compact []byte) {
	size, err := measure(compact)
	v.measured(size, err)
}

// received checks the payload of a message that others have sent. One that the
// row could hold, but omni-box not read, becomes the body.
func (v *validator) received(e *Event, compact json.RawMessage) {
	size, err := measure(compact)
	if errors.Is(err, errDepth) || errors.Is(err, errDigits) {
		e.Payload, e.Body, e.ContentType = nil, compact, "application/json"
		v.body(e)
		return
	}
	v.measured(size, err)
}

func (v *validator) measured(size int, err error) {
	if err != nil {
		v.add("Payload", RuleFormat, 0, 0, "%s", err)
	} else if size > MaxPayloadBytes {
		v.add("Payload", RuleSize, MaxPayloadBytes, size, "has %d bytes, at most %d are allowed", size, MaxPayloadBytes)
	}
}

func (v *validator) body(e *Event) {
	if e.Payload != nil {
		v.add("Body", RuleConflict, 0, 0, "and Payload exclude each other")
	}
	if n := len(e.Body); n > MaxPayloadBytes {
		v.add("Body", RuleSize, MaxPayloadBytes, n, "has %d bytes, at most %d are allowed", n, MaxPayloadBytes)
	}
	if e.ContentType == "" {
		v.add("ContentType", RuleRequired, 0, 0, "is required for a Body")
		return
	}
	v.optional("ContentType", &e.ContentType, MaxContentType)
}

// encode gives payload as compact JSON. Its errors do not quote it, so they do
// not wrap those of encoding/json.
func encode(payload any) (json.RawMessage, error) {
	raw, ok := payload.(json.RawMessage)
	if !ok {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(payload); err != nil {
			return nil, encodeError(payload, err)
		}
		return b.Bytes()[:b.Len()-1], nil // Encode ends the line
	}
	b := bytes.NewBuffer(make([]byte, 0, len(raw)))
	if json.Compact(b, raw) != nil {
		var discard json.RawMessage // Unmarshal knows where the mistake is, Compact does not
		if e, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(raw, &discard)); ok {
			return nil, fmt.Errorf("is not valid JSON, from byte %d on", e.Offset)
		}
		return nil, errors.New("is not valid JSON")
	}
	return b.Bytes(), nil
}

func encodeError(payload any, err error) error {
	if e, ok := errors.AsType[*json.UnsupportedTypeError](err); ok {
		return fmt.Errorf("cannot be JSON: it has a %s", e.Type)
	}
	if _, ok := errors.AsType[*json.UnsupportedValueError](err); ok {
		return errors.New("cannot be JSON: it has a cycle, a NaN or an infinite number")
	}
	if e, ok := errors.AsType[*json.MarshalerError](err); ok {
		return fmt.Errorf("cannot be JSON: the marshaler of %s refuses", e.Type)
	}
	return fmt.Errorf("cannot be JSON: %T", payload)
}

// Errors of payloads that are JSON, but not for Postgres.
var (
	errUTF8      = errors.New("is not valid UTF-8")
	errNUL       = errors.New(`has \u0000, which Postgres does not store`)
	errSurrogate = errors.New(`has half of a surrogate pair, which Postgres does not store`)
	errNumber    = errors.New("has a number out of range: at most 131072 digits before and 16383 behind the point")
)

// Errors of payloads that omni-box cannot read from a row.
var (
	errDepth  = fmt.Errorf("is nested deeper than %d levels: send it as a Body", MaxPayloadDepth)
	errDigits = fmt.Errorf("has a whole number of more than %d digits: send it as a Body", MaxPayloadDigits)
)

// measure counts the bytes that compact JSON has once it is stored: escapes of
// printable characters are undone, numbers lose their exponents. It reports
// what jsonb or omni-box refuses.
func measure(compact []byte) (int, error) {
	if !utf8.Valid(compact) {
		return 0, errUTF8
	}
	size, depth := 0, 0
	for i := 0; i < len(compact); {
		var n, stored int
		var err error
		switch c := compact[i]; {
		case c == '"':
			n, stored, err = measureString(compact[i:])
		case c == '-' || c >= '0' && c <= '9':
			n, stored, err = measureNumber(compact[i:])
		default:
			n, stored = 1, 1
			switch c {
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if depth > MaxPayloadDepth {
				err = errDepth
			}
		}
		if err != nil {
			return 0, err
		}
		i += n
		size += stored
	}
	return size, nil
}

// measureString reads a string from its quote on: its length as written and as
// stored.
func measureString(b []byte) (n, stored int, err error) {
	stored = 2
	for i := 1; ; {
		for b[i] != '"' && b[i] != '\\' {
			i++
			stored++
		}
		if b[i] == '"' {
			return i + 1, stored, nil
		}
		if b[i+1] != 'u' {
			if b[i+1] == '/' {
				stored--
			}
			i, stored = i+2, stored+2
			continue
		}
		r, width, err := unescape(b[i:])
		if err != nil {
			return 0, 0, err
		}
		i += width
		switch {
		case r == '"' || r == '\\' || r == '\b' || r == '\f' || r == '\n' || r == '\r' || r == '\t':
			stored += 2
		case r < ' ':
			stored += len(`\u0000`)
		default:
			stored += utf8.RuneLen(r)
		}
	}
}

// unescape reads \uXXXX, or a pair of them, and says how long it is written.
func unescape(b []byte) (rune, int, error) {
	const unit = len(`\uXXXX`)
	r := hex(b[2:unit])
	switch {
	case r == 0:
		return 0, 0, errNUL
	case r < 0xd800 || r > 0xdfff:
		return r, unit, nil
	case r > 0xdbff || len(b) < 2*unit || b[unit] != '\\' || b[unit+1] != 'u':
		return 0, 0, errSurrogate
	}
	low := hex(b[unit+2 : 2*unit])
	if low < 0xdc00 || low > 0xdfff {
		return 0, 0, errSurrogate
	}
	return 0x10000 + (r-0xd800)<<10 + (low - 0xdc00), 2 * unit, nil
}

func hex(b []byte) rune {
	n, _ := strconv.ParseUint(string(b), 16, 32) // valid JSON has four digits here
	return rune(n)
}

// The digits that a numeric of Postgres has at most.
const (
	maxWhole = 131072
	maxScale = 16383
)

// measureNumber reads a number: its length as written, and as stored, without
// an exponent.
func measureNumber(b []byte) (n, stored int, err error) {
	var sign, whole, frac, exp int
	if b[0] == '-' {
		sign = 1
	}
	n = sign
	whole = digits(b[n:])
	n += whole
	if n < len(b) && b[n] == '.' {
		frac = digits(b[n+1:])
		n += 1 + frac
	}
	if n < len(b) && (b[n] == 'e' || b[n] == 'E') {
		from := n + 1
		n = from
		if b[n] == '+' || b[n] == '-' {
			n++
		}
		n += digits(b[n:])
		exp, err = strconv.Atoi(string(b[from:n]))
		if err != nil || exp > maxWhole || exp < -maxScale {
			return 0, 0, errNumber
		}
	}
	whole, frac = max(whole+exp, 1), max(frac-exp, 0)
	if whole > maxWhole || frac > maxScale {
		return 0, 0, errNumber
	}
	if frac == 0 && whole > MaxPayloadDigits {
		return 0, 0, errDigits
	}
	stored = sign + whole
	if frac > 0 {
		stored += 1 + frac
	}
	return n, stored, nil
}

// digits is how many digits b begins with.
func digits(b []byte) int {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return n
}
