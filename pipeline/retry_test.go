package pipeline_test

import (
	"context"
	"errors"
	"fmt"
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
