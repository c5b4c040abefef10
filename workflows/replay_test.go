package workflows_test

import (
	"log/slog"
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

// replay runs a recorded history through w, registered as the poller.
func replay(t *testing.T, w any, file string) error {
	t.Helper()
	r := worker.NewWorkflowReplayer()
	r.RegisterWorkflowWithOptions(w, workflow.RegisterOptions{Name: workflows.PollerWorkflow})
	return r.ReplayWorkflowHistoryFromJSONFile(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), file)
}

func histories(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "histories", "poller-*.json"))
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
	for _, file := range histories(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			require.NoError(t, replay(t, workflows.Poller, file))
		})
	}
}

// A poller that drains before it fetches must not pass, or the test above
// could not fail.
func TestSwappedActivitiesDoNotReplay(t *testing.T) {
	t.Parallel()
	swapped := func(ctx workflow.Context, _ workflows.PollerState) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
		for _, name := range []string{"Drain", "Fetch"} {
			if err := workflow.ExecuteActivity(ctx, name, nil).Get(ctx, nil); err != nil {
				return err
			}
		}
		return nil
	}
	for _, file := range histories(t) {
		require.ErrorContains(t, replay(t, swapped, file), "TMPRL1100", file)
	}
}

// No history holds anything but references and counters.
//
// trap: T3 (the size of a poller's events)
func TestRecordedEventsAreSmall(t *testing.T) {
	t.Parallel()
	for _, file := range histories(t) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		events := strings.Count(string(text), `"eventId"`)
		require.Less(t, len(text)/events, 2048, "%s: bytes of JSON an event", file)
	}
}
