package store

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHeadersAreReadHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]map[string]string{
		``:                            nil,
		`null`:                        nil,
		`[]`:                          nil,
		`{}`:                          {},
		`{"a": "b"}`:                  {"a": "b"},
		`{"a": "b", "c": ", : {}"}`:   {"a": "b", "c": ", : {}"},
		`{"a": "say \"b\"", "é": ""}`: {"a": `say "b"`, "é": ""},
		`{"n": 1, "a": "b"}`:          {"n": "1", "a": "b"},
		`{"n": {"a": "b", "c": "d"}}`: {"n": `{"a": "b", "c": "d"}`},
		`{"n": {"a": "b"}, "c": "d"}`: {"n": `{"a": "b"}`, "c": "d"},
		`{"n": ["a", "b"], "m": "o"}`: {"n": `["a", "b"]`, "m": "o"},
		`{"a": null, "b": "c"}`:       {"a": "", "b": "c"},
	} {
		got, err := readHeaders([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("a", "b", "c", "d")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		text, err := json.Marshal(map[string]string{k1: v1, k2: v2})
		require.NoError(t, err)
		var want map[string]string
		require.NoError(t, json.Unmarshal(text, &want))
		got, err := readHeaders(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func FuzzCompact(f *testing.F) {
	f.Add(`{"a": "x: y, \" z", "b": [1.50, {"c": null}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			t.Skip("not JSON")
		}
		var before, after any
		if json.Unmarshal([]byte(text), &before) != nil {
			t.Skip("a number out of range")
		}
		require.NoError(t, json.Unmarshal(compact([]byte(text)), &after))
		require.Equal(t, before, after)
	})
}
