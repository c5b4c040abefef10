package pipeline_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
)

// What a step stops, or cannot be reached, is due again at once. It must not cost a
// workflow each time: a drain tries it, and waits in between.
//
// trap: 13
func TestWhatAWorkflowCannotGetOnWithIsLeftToTheDrain(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]func(context.Context, *omnibox.Event) (pipeline.Result, error){
		"stopped": func(context.Context, *omnibox.Event) (pipeline.Result, error) { return pipeline.Stop, nil },
		"unreachable": func(context.Context, *omnibox.Event) (pipeline.Result, error) {
			return pipeline.Next, omnibox.Unreachable(errBad)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newLaneBed()
				b.step(step)
				turn, written := b.handed(t, 1)
				p := pipeline.New(b.cfg)
				require.Equal(t, omnibox.Released, stepsOne(t, p, turn, 0, 1).Verdict)
				for range 29 {
					assigned, backlog, err := p.Assign(t.Context(), wave())
					require.NoError(t, err)
					require.Empty(t, assigned)
					require.True(t, backlog, "a drain is needed")
					time.Sleep(time.Second)
				}
				time.Sleep(time.Second)
				b.untouched(t, written)
				assigned, _, err := p.Assign(t.Context(), wave())
				require.NoError(t, err)
				require.Len(t, assigned, 1)
			})
		})
	}
}
