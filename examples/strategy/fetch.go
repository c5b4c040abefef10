package main

import (
	"context"

	"github.com/omnibox-go/omnibox"
)

// bite is how many events are taken at a time, whatever the configuration says.
const bite = 100

// bites is a fetch strategy that hands out a few events at a time. Everything
// else is that of the strategy in it.
type bites struct{ omnibox.FetchStrategy }

// Claim wraps the claim.
func (b bites) Claim(ctx context.Context, slots []int) (omnibox.Claim, error) {
	c, err := b.FetchStrategy.Claim(ctx, slots)
	return biteClaim{c}, err
}

type biteClaim struct{ omnibox.Claim }

// Fetch takes a bite.
func (c biteClaim) Fetch(ctx context.Context, n int) ([]omnibox.Event, bool, error) {
	return c.Claim.Fetch(ctx, min(n, bite))
}
