package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

func TestErrorOfTheDatabaseIsReturned(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(b *bed){
		"settle": func(b *bed) { b.ports.commit = func([]omnibox.Outcome) error { return errBad } },
		"mark": func(b *bed) {
			b.cfg.Fetch = brokenMark{b.ports}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				b.enqueue(1, 1, "a")
				b.suspect(t)
				breakIt(b)
				_, err := pipeline.New(b.cfg).Drain(t.Context(), order())
				require.ErrorIs(t, err, errBad)
			})
		})
	}
}

type brokenMark struct{ *ports }

func (f brokenMark) Claim(ctx context.Context, slots []int) (omnibox.Claim, error) {
	c, err := f.ports.Claim(ctx, slots)
	return brokenMarkClaim{c}, err
}

type brokenMarkClaim struct{ omnibox.Claim }

func (brokenMarkClaim) Mark(context.Context, []*omnibox.Event) error { return errBad }

// A database that does not answer does not keep the drain from its end.
func TestHangingDatabaseEndsTheDrain(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"claim", "fetch", "extend"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed()

				b.enqueue(1, 1, "a")
				b.cfg.Fetch = hanging{b.ports, call}
				began, stop := time.Now(), make(chan struct{})
				defer time.AfterFunc(time.Minute, func() { close(stop) }).Stop()
				d := order()
				d.Stop, d.Linger = stop, time.Hour
				report, err := pipeline.New(b.cfg).Drain(t.Context(), d)
				require.True(t, errors.Is(err, context.DeadlineExceeded) || report.Reason == pipeline.LeaseLost, "%v %v", report, err)
				require.LessOrEqual(t, time.Since(began), 30*time.Second)
			})
		})
	}
}

// hanging is a database that does not answer one kind of call.
type hanging struct {
	*ports
	call string
}

func (f hanging) Claim(ctx context.Context, slots []int) (omnibox.Claim, error) {
	if f.call == "claim" {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	c, err := f.ports.Claim(ctx, slots)
	return hangingClaim{c, f.call}, err
}

type hangingClaim struct {
	omnibox.Claim
	call string
}

func (c hangingClaim) Fetch(ctx context.Context, n int) ([]omnibox.Event, bool, error) {
	if c.call == "fetch" {
		<-ctx.Done()
		return nil, false, context.Cause(ctx)
	}
	return c.Claim.Fetch(ctx, n)
}

func (c hangingClaim) Extend(ctx context.Context) error {
	if c.call == "extend" {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return c.Claim.Extend(ctx)
}
