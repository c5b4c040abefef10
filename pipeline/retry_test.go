package pipeline_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Now()
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		err      error
		attempts int // before
		verdict  omnibox.Verdict
		class    omnibox.Class
		counted  bool
		min, max time.Duration
	}{
		"handled":                        {err: nil, verdict: omnibox.Completed},
		"skipped":                        {err: fmt.Errorf("step: %w", omnibox.Skip("not for us")), verdict: omnibox.Skipped},
		"plain error is transient":       {err: boom, verdict: omnibox.Retry, class: omnibox.ClassTransient, counted: true, min: 5 * time.Second, max: 10 * time.Second},
		"third failure":                  {err: boom, attempts: 2, verdict: omnibox.Retry, class: omnibox.ClassTransient, counted: true, min: 20 * time.Second, max: 40 * time.Second},
		"last failure":                   {err: boom, attempts: 5, verdict: omnibox.Dead, class: omnibox.ClassTransient, counted: true},
		"permanent":                      {err: fmt.Errorf("x: %w", omnibox.Permanent(boom)), verdict: omnibox.Dead, class: omnibox.ClassPermanent, counted: true},
		"unreachable is no failure":      {err: omnibox.Unreachable(boom), attempts: 5, verdict: omnibox.Released, class: omnibox.ClassUnreachable},
		"cancelled is no failure":        {err: context.Canceled, attempts: 5, verdict: omnibox.Released, class: omnibox.ClassCancelled},
		"not sent is no failure":         {err: omnibox.ErrNotSent, attempts: 5, verdict: omnibox.Released, class: omnibox.ClassCancelled},
		"asked for a time: not counted":  {err: omnibox.RetryAt(now.Add(time.Minute)), attempts: 5, verdict: omnibox.Retry, class: omnibox.ClassTransient, min: time.Minute, max: time.Minute},
		"asked for a time that has been": {err: omnibox.RetryAt(now.Add(-time.Minute)), verdict: omnibox.Retry, class: omnibox.ClassTransient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &omnibox.Event{Attempts: tc.attempts, MaxAttempts: 6}
			o := pipeline.Retry{}.Decide(e, tc.err, now)
			require.Equal(t, tc.verdict, o.Verdict)
			require.Equal(t, tc.class, o.Class)
			require.Equal(t, tc.counted, o.Counted)
			want := tc.attempts
			if tc.counted {
				want++
			}
			require.Equal(t, want, o.Attempts)
			require.GreaterOrEqual(t, o.Delay, tc.min)
			require.LessOrEqual(t, o.Delay, tc.max)
		})
	}
}

func TestBackoffIsBoundedForAnyNumberOfAttempts(t *testing.T) {
	t.Parallel()
	for attempts := range 200 {
		e := &omnibox.Event{Attempts: attempts, MaxAttempts: 1000}
		o := pipeline.Retry{}.Decide(e, errors.New("boom"), time.Now())
		require.Positive(t, o.Delay)
		require.LessOrEqual(t, o.Delay, time.Hour)
		if attempts > 10 {
			require.GreaterOrEqual(t, o.Delay, 30*time.Minute)
		}
	}
	o := pipeline.Retry{Base: -1}.Decide(&omnibox.Event{MaxAttempts: 6}, errors.New("boom"), time.Now())
	require.Zero(t, o.Delay, "below zero there is no delay")
}

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
