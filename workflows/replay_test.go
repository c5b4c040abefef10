package workflows_test

import (
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/omnibox-go/omnibox/workflows"
)

// replay runs a recorded history through the workflows, of which others take the
// place if there are any.
func replay(t *testing.T, file string, others map[string]any) error {
	t.Helper()
	all := map[string]any{workflows.PollerWorkflow: workflows.Poller, workflows.EventWorkflow: workflows.Event, workflows.ConsumerWorkflow: workflows.Consumer}
	maps.Copy(all, others)
	r := worker.NewWorkflowReplayer()
	for name, w := range all {
		r.RegisterWorkflowWithOptions(w, workflow.RegisterOptions{Name: name})
	}
	return r.ReplayWorkflowHistoryFromJSONFile(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), file)
}

func histories(t *testing.T, which string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "histories", which))
	require.NoError(t, err)
	require.NotEmpty(t, files, "run `make record`")
	return files
}

// Running workflows must survive a deploy: every shape that a release has
// recorded replays with today's code.
//
// trap: T6
func TestRecordedHistoriesReplay(t *testing.T) {
	t.Parallel()
	for _, file := range histories(t, "*.json") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			require.NoError(t, replay(t, file, nil))
		})
	}
}

// A poller that drains before it fetches, and an event that is committed before it
// is published, must not pass, or the test above could not fail.
func TestSwappedActivitiesDoNotReplay(t *testing.T) {
	t.Parallel()
	inOrder := func(execute func(workflow.Context, string) workflow.Future, names ...string) func(workflow.Context, any) error {
		return func(ctx workflow.Context, _ any) error {
			ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
			for _, name := range names {
				if err := execute(ctx, name).Get(ctx, nil); err != nil {
					return err
				}
			}
			return nil
		}
	}
	normal := func(ctx workflow.Context, name string) workflow.Future {
		return workflow.ExecuteActivity(ctx, name, nil)
	}
	swapped := map[string]any{
		workflows.PollerWorkflow: inOrder(normal, "Drain", "Fetch"),
		workflows.EventWorkflow:  inOrder(normal, "Commit", "Publish"),
		// it has one kind of activity: another one takes its place
		workflows.ConsumerWorkflow: inOrder(normal, "Drain"),
	}
	for _, file := range histories(t, "*.json") {
		require.ErrorContains(t, replay(t, file, swapped), "TMPRL1100", file)
	}
}

// No history holds anything but references and counters.
//
// trap: T3 (the size of events)
func TestRecordedEventsAreSmall(t *testing.T) {
	t.Parallel()
	for _, file := range histories(t, "*.json") {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		events := strings.Count(string(text), `"eventId"`)
		require.Less(t, len(text)/events, 2048, "%s: bytes of JSON an event", file)
	}
}
