package broker

import (
	"encoding/json"
	"iter"
)

// Compact JSON that is known to be valid is read here without decoding it, so
// that numbers keep their digits and nothing is allocated for what is not asked.

// members of an object, in order; none of any other value.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if len(object) == 0 || object[0] != '{' {
			return
		}
		for i := 1; object[i] == '"'; {
			end := i + stringLen(object[i:])
			key := text(object[i:end])
			from := end + 1 // behind the colon
			i = from + valueLen(object[from:])
			if !yield(key, object[from:i]) {
				return
			}
			if object[i] == ',' {
				i++
			}
		}
	}
}

// stringLen is how long the string is that b begins with, quotes included.
func stringLen(b []byte) int {
	for i := 1; ; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// valueLen is how long the value is that b begins with.
func valueLen(b []byte) int {
	depth := 0
	for i := 0; i < len(b); {
		switch b[i] {
		case '"':
			i += stringLen(b[i:])
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			} else if depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return len(b)
}

// text of a string.
func text(b []byte) string {
	for _, c := range b {
		if c == '\\' || c >= 0x80 { // json also replaces what is not UTF-8
			var s string
			_ = json.Unmarshal(b, &s)
			return s
		}
	}
	return string(b[1 : len(b)-1])
}

func isString(b []byte) bool { return len(b) > 0 && b[0] == '"' }

func isObject(b []byte) bool { return len(b) > 0 && b[0] == '{' }

func isNumber(b []byte) bool {
	return len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9')
}
