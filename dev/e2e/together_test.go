package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

func withStep(s pipeline.Step) worker.Option { return worker.Step(pipelineName, s) }

// Two applications live in one process and know nothing of each other.
//
// trap: 41
func TestTwoWorkersInOneProcessWorkSideBySide(t *testing.T) {
	t.Parallel()
	one, two := newBed(t), newBed(t)
	one.start()
	two.start()
	one.enqueue(event("one", 1))
	two.enqueue(event("two", 1))
	require.Equal(t, []string{"one/1"}, one.awaitRecords(1))
	require.Equal(t, []string{"two/1"}, two.awaitRecords(1))
}

// Two environments share a namespace by mistake: the second one says so and leaves
// the first one's pollers alone.
func TestAWorkerRefusesThePollersOfAnotherDatabase(t *testing.T) {
	t.Parallel()
	one, two := newBed(t), newBed(t)
	two.prefix = one.prefix
	first := one.start().awaitReady()
	address := freeAddress(t)
	two.change = func(cfg *config.Config) { cfg.HTTP.Listen = address }
	second := two.start()
	code, ready := second.awaitError("two environments share a Temporal namespace")
	require.Equal(t, 503, code)
	require.Equal(t, "starting with Temporal", ready.Phase)
	require.Contains(t, ready.Error, "temporal.id_prefix", "it says how to mend it")

	one.enqueue(event("one", 1))
	two.enqueue(event("two", 1))
	require.Equal(t, []string{"one/1"}, one.awaitRecords(1))
	require.Empty(t, two.records())
	require.True(t, first.Ready())
}
