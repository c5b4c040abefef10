package pipeline

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/omnibox-go/omnibox"
)

// Retry is the policy for failed events. Zero values take the defaults.
type Retry struct {
	// Base is the delay before the second attempt; it doubles with each one.
	// Defaults to 10 s; below zero there is no delay.
	Base time.Duration
	// Max bounds the delay. Defaults to an hour.
	Max time.Duration
}

// Defaults of the retry policy, the same as omni-box's.
const (
	DefaultRetryBase = 10 * time.Second
	DefaultRetryMax  = time.Hour
)

// Decide says what becomes of e after err; nil means it was handled. This is
// the one place where class, count, delay, and dead or not are decided.
func (r Retry) Decide(e *omnibox.Event, err error, now time.Time) omnibox.Outcome {
	o := omnibox.Outcome{Event: e, Verdict: omnibox.Completed, Attempts: e.Attempts}
	if err == nil {
		return o
	}
	if _, skipped := errors.AsType[*omnibox.SkipError](err); skipped {
		o.Verdict = omnibox.Skipped
		return o
	}
	o.Class = omnibox.ClassOf(err)
	if o.Class == omnibox.ClassCancelled || o.Class == omnibox.ClassUnreachable {
		o.Verdict = omnibox.Released
		return o
	}
	o.Error = Redact(err.Error(), e)
	if asked, ok := errors.AsType[*omnibox.Error](err); ok && asked != nil && !asked.RetryAt.IsZero() {
		o.Verdict, o.Delay = omnibox.Retry, max(0, asked.RetryAt.Sub(now))
		return o
	}
	o.Counted = true
	o.Attempts++
	if o.Class != omnibox.ClassTransient || o.Attempts >= e.MaxAttempts {
		o.Verdict = omnibox.Dead
		return o
	}
	o.Verdict, o.Delay = omnibox.Retry, r.delay(e.Attempts)
	return o
}

// delay is uniform between half and all of Base × 2^attempts, at most Max
// (equal jitter, as omni-box has it).
func (r Retry) delay(attempts int) time.Duration {
	if r.Base < 0 {
		return 0
	}
	base, limit := cmp.Or(r.Base, DefaultRetryBase), cmp.Or(r.Max, DefaultRetryMax)
	full := min(base, limit)
	for range attempts {
		if full >= limit/2 {
			full = limit
			break
		}
		full *= 2
	}
	return full/2 + rand.N(full/2+1)
}
