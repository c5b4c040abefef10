package pipeline_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

// trap: T3 (the part that a step can break: it quotes what it was given)
func TestRedact(t *testing.T) {
	t.Parallel()
	const payload = `{"card":"4929-secret","note":"line\nMARKER-7f3a","amount":123456.50}`
	e := &omnibox.Event{Payload: json.RawMessage(payload)}
	body := &omnibox.Event{Body: []byte("\x00\x01binary-MARKER-7f3a-binary")}
	b64 := base64.StdEncoding.EncodeToString
	for name, tc := range map[string]struct {
		e    *omnibox.Event
		text string
	}{
		"whole":                 {e, "cannot apply " + payload},
		"quoted":                {e, fmt.Sprintf("cannot apply %q", payload)},
		"quoted again":          {e, fmt.Sprintf("cannot apply %q", fmt.Sprintf("%q", "line\nMARKER-7f3a"))},
		"part":                  {e, "bad input near " + payload[20:50]},
		"a value":               {e, `invalid note "line\nMARKER-7f3a" in order`},
		"a value with its line": {e, "invalid note line\nMARKER-7f3a"},
		"base64":                {e, "cannot apply " + b64([]byte(payload))},
		"base64 url":            {e, "cannot apply " + base64.URLEncoding.EncodeToString([]byte(payload))},
		"base64 of a part":      {e, "cannot apply " + b64([]byte(payload[11:60]))},
		"base64 of a value":     {e, "cannot apply " + b64([]byte("4929-secret"))},
		"bytes":                 {e, fmt.Sprintf("cannot apply %v", []byte(payload))},
		"hex":                   {e, fmt.Sprintf("cannot apply %x", payload)},
		"hex in capitals":       {e, fmt.Sprintf("cannot apply %X", payload)},
		"JSON of JSON":          {e, "cannot apply " + asJSON(payload)},
		"JSON of a value":       {e, "invalid note " + asJSON("line\nMARKER-7f3a")},
		"body":                  {body, "cannot parse " + string(body.Body)},
		"body in base64":        {body, "cannot parse " + b64(body.Body)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := pipeline.Redact(tc.text, tc.e)
			for _, secret := range []string{"MARKER", "4929", "secret", b64([]byte("MARKER-7f3a"))[:8], "4d41524b", "77 65 82 75"} {
				require.NotContains(t, got, secret)
			}
			require.Contains(t, got, "[payload]")
			require.Less(t, strings.Count(got, "[payload]"), 12)
		})
	}
	require.Equal(t, "constraint violated", pipeline.Redact("constraint violated", e))
	nested := &omnibox.Event{Payload: json.RawMessage(`{"currency":{"code":"XTSX","names":["first","currency"]},"amount":12345}`)}
	require.Equal(t, "no amount, no names: [payload] [payload] [payload]", pipeline.Redact("no amount, no names: XTSX first 12345", nested),
		"names of fields stay")
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Package json writes <, > and & in its own way, and so do those who use it: a
// server that repeats what it was sent, say.
func TestRedactKnowsTheEscapesOfJSON(t *testing.T) {
	t.Parallel()
	const payload = `{"name":"Tom & Ann","pin":"12<34","who":"<b>\u2028\u0001é"}`
	e := &omnibox.Event{Payload: json.RawMessage(payload)}
	var again map[string]any
	require.NoError(t, json.Unmarshal([]byte(payload), &again))
	for _, text := range []string{asJSON(again), asJSON(payload), asJSON("Tom & Ann"), asJSON("12<34"), asJSON("<b>\u2028\u0001é")} {
		got := pipeline.Redact("server refused "+text, e)
		for _, part := range []string{"Tom", "Ann", "u003c34", "u003cb", "u2028", "u0001", "é"} {
			require.NotContains(t, got, part, text)
		}
	}
}

// Whatever the form and wherever it begins, each stretch of a payload is found.
func TestRedactFindsEveryStretch(t *testing.T) {
	t.Parallel()
	const length = 12 // the shortest that is recognised
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, "<%d&%c", i*i*7919, 'A'+i%26)
	}
	body := b.String()
	e := &omnibox.Event{Body: []byte(body)}
	b64 := base64.StdEncoding.EncodeToString([]byte(body))
	for name, form := range map[string]string{
		"raw": body, "quoted": strconv.Quote(body), "JSON": asJSON(body), "base64": b64, "hex": hex.EncodeToString([]byte(body)),
		"base64 url": base64.URLEncoding.EncodeToString([]byte(body)), "numbers": strings.Trim(fmt.Sprintf("%d", []byte(body)), "[]"),
	} {
		for from := 1; from+length < len(form)-4; from++ { // neither quotes nor padding
			part := form[from : from+length]
			if name == "JSON" && !strings.Contains(part, `\`) && !strings.Contains(body, part) {
				continue // it begins inside an escape: less than that of the payload
			}
			require.Equal(t, "|[payload]|", pipeline.Redact("|"+part+"|", e), "%s from %d: %s", name, from, part)
		}
	}
}

func BenchmarkRedact(b *testing.B) {
	short := `topic "orders" does not exist: create it (kafka-topics --create --topic orders), or correct the topic of the event 5f0c0e9e-8f5f-4a53-9f0e-2a4a5b1f6c11`
	value := strings.Repeat("lorem ipsum dolor sit amet ", 37_000)
	var many strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&many, `"field":"lorem%d",`, i)
	}
	for name, payload := range map[string]string{
		"1 KB": `{"text":"` + value[:1000] + `"}`, "one value": `{"text":"` + value + `"}`, "many values": "{" + many.String() + `"a":1}`,
		"one character": `{"text":"` + strings.Repeat("a", 1_000_000) + `"}`,
	} {
		e := &omnibox.Event{Payload: json.RawMessage(payload)}
		for kind, text := range map[string]string{
			"a message": short, "the payload": payload[:min(len(payload), 16<<10)], "quoted": strconv.Quote(payload[:min(len(payload), 15<<10)]),
			"one character": strings.Repeat("a", 16<<10),
		} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				for b.Loop() {
					pipeline.Redact(text, e)
				}
			})
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add(`{"a":"some value that is long"}`, 3, 20)
	f.Fuzz(func(t *testing.T, payload string, from, n int) {
		if from < 0 || n < 12 || from > len(payload) || n > len(payload)-from {
			t.Skip("not a stretch of the payload")
		}
		part := payload[from : from+n]
		got := pipeline.Redact("before "+part+" after", &omnibox.Event{Payload: json.RawMessage(payload)})
		if !strings.Contains("before [payload] after", part) {
			require.NotContains(t, got, part)
		}
	})
}
