package omnibox_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/omnibox-go/omnibox"
)

// What is compact already takes a shorter way to the same result, in new memory.
func TestCompactJSON(t *testing.T) {
	t.Parallel()
	token := rapid.SampledFrom([]string{`{`, `}`, `[`, `]`, `:`, `,`, `"`, `\`, `\\`, `\"`, ` `, "\t", "\n", `1`, `"a b"`, `"\" "`, `"é"`, `null`, `"k":`})
	check := func(t require.TestingT, raw []byte) {
		before := bytes.Clone(raw)
		got, err := omnibox.CompactJSON(raw)
		var want bytes.Buffer
		if json.Compact(&want, raw) != nil {
			require.Error(t, err, "%q", raw)
			return
		}
		require.NoError(t, err, "%q", raw)
		require.Equal(t, want.String(), string(got), "%q", raw)
		got[0] ^= 1
		require.Equal(t, before, raw)
	}
	for _, raw := range []string{``, `{}`, ` {}`, `{"a b":1}`, `{"a":"\""} `, `{"a":"\\", "b":2}`, `{"a":"\\","b":[1,2]}`, `"`, `"\`, `{"a":1}x`, `1 2`} {
		check(t, []byte(raw))
	}
	rapid.Check(t, func(t *rapid.T) {
		var raw []byte
		for _, part := range rapid.SliceOfN(token, 1, 8).Draw(t, "tokens") {
			raw = append(raw, part...)
		}
		check(t, raw)
	})
}
