package pipeline

import (
	"context"

	"golang.org/x/time/rate"

	"github.com/omnibox-go/omnibox"
)

// RateLimit is a step that lets at most perSecond events a second pass, burst
// of them at once. The limit is that of this process: with n workers, give
// each an nth. It waits without holding anything but the lease.
func RateLimit(perSecond float64, burst int) Step {
	return &rateLimit{rate.NewLimiter(rate.Limit(perSecond), burst)}
}

type rateLimit struct{ *rate.Limiter }

func (*rateLimit) Spec() Spec { return Spec{Name: "rate limit"} }

func (l *rateLimit) Run(ctx context.Context, _ *omnibox.Event) (Result, error) {
	if err := l.Wait(ctx); err != nil { // its turn is further away than the timeout
		return Stop, nil //nolint:nilerr // not an event's failure: it comes again
	}
	return Next, nil
}
