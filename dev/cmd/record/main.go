// Command record makes the histories that workflows must be able to replay: it
// runs each shape of a workflow on a real Temporal server, with activities
// that follow a script, and writes what happened to
// workflows/testdata/histories. Run it when a shape is added. A history that is
// there is never replaced, since workers of a release may have run it: what was
// not released yet is deleted by hand before it is recorded again.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/dev/servers"
	omniworker "github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/workflows"
)

const (
	queue = "record"
	// few events make a run continue as new, so that a rollover is short
	rollover = "40"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, filepath.Join("workflows", "testdata", "histories")); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) (err error) {
	server, err := servers.StartTemporal(ctx, servers.TemporalOptions{
		Headless: true, Progress: os.Stderr,
		DynamicConfig: map[string]string{"limit.historyCount.suggestContinueAsNew": rollover},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	quiet := log.NewStructuredLogger(slog.New(slog.DiscardHandler))
	c, err := client.Dial(client.Options{HostPort: server.Address(), Identity: "recorder", Logger: quiet})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := omniworker.AddAttributes(ctx, c, client.DefaultNamespace, workflows.Attributes()); err != nil {
		return err
	}
	for _, s := range scripts() {
		if err := record(ctx, c, dir, "poller-"+s.name, s.play); err != nil {
			return err
		}
	}
	for _, s := range eventScripts() {
		if err := record(ctx, c, dir, "event-"+s.name, s.play); err != nil {
			return err
		}
	}
	for _, s := range consumerScripts() {
		if err := record(ctx, c, dir, "consumer-"+s.name, s.play); err != nil {
			return err
		}
	}
	return nil
}

// record plays one script on a worker of its own, unless that was done before.
func record(ctx context.Context, c client.Client, dir, name string, play func(context.Context, client.Client, worker.Worker) (client.WorkflowRun, error)) error {
	if there := fileOf(dir, name, 1); exists(there) {
		fmt.Fprintf(os.Stderr, "kept %s: %s is there\n", name, there)
		return nil
	}
	w := worker.New(c, queue, worker.Options{Identity: "recorder"})
	w.RegisterWorkflowWithOptions(workflows.Poller, workflow.RegisterOptions{Name: workflows.PollerWorkflow})
	w.RegisterWorkflowWithOptions(workflows.Event, workflow.RegisterOptions{Name: workflows.EventWorkflow})
	first, err := play(ctx, c, w)
	if err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	err = writeRuns(ctx, c, dir, name, first)
	w.Stop()
	if err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	fmt.Fprintln(os.Stderr, "recorded", name)
	return nil
}

// play starts the poller.
func (s *script) play(ctx context.Context, c client.Client, w worker.Worker) (client.WorkflowRun, error) {
	w.RegisterActivityWithOptions(s.Fetch, activity.RegisterOptions{Name: "Fetch"})
	w.RegisterActivityWithOptions((&activities.Relay{}).Gather, activity.RegisterOptions{Name: "Gather"})
	w.RegisterActivityWithOptions(s.Drain, activity.RegisterOptions{Name: "Drain"})
	w.RegisterActivityWithOptions(s.SetPaused, activity.RegisterOptions{Name: "SetPaused"})
	(&eventScript{}).register(w) // of its children
	s.client, s.id = c, workflows.PollerID("omnibox", s.name, 0)
	if err := w.Start(); err != nil {
		return nil, err
	}
	state := workflows.PollerState{Poller: activities.Poller{Database: "recorded"}, Pipeline: s.name, Prefix: "omnibox"}
	return c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: s.id, TaskQueue: queue}, workflows.PollerWorkflow, state)
}

// play starts the event's workflow.
func (s *eventScript) play(ctx context.Context, c client.Client, w worker.Worker) (client.WorkflowRun, error) {
	s.register(w)
	s.client, s.id = c, "omnibox/recorded/event/"+s.name
	if err := w.Start(); err != nil {
		return nil, err
	}
	_, err := s.answer(ctx, "") // what somebody does from outside
	if err != nil {
		return nil, err
	}
	return c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: s.id, TaskQueue: queue}, workflows.EventWorkflow, s.input())
}

// writeRuns writes the history of every run of a workflow.
func writeRuns(ctx context.Context, c client.Client, dir, name string, first client.WorkflowRun) error {
	// run by run, until one does not continue as new
	for run, id := 1, first.GetRunID(); id != ""; run++ {
		h, next, err := historyOf(ctx, c, first.GetID(), id)
		if err != nil {
			return err
		}
		text, err := protojson.MarshalOptions{Indent: " "}.Marshal(h)
		if err != nil {
			return err
		}
		if err := writeNew(fileOf(dir, name, run), append(text, '\n')); err != nil {
			return err
		}
		id = next
	}
	return nil
}

// fileOf names the file of the nth run of a script.
func fileOf(dir, name string, run int) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%d.json", name, run))
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// writeNew writes a file that must not be there.
func writeNew(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there, and a recorded history is never replaced: delete it if it was in no release", file)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// historyOf waits for the end of a run, and tells its history and successor.
func historyOf(ctx context.Context, c client.Client, id, run string) (*history.History, string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("the script does not come to its end"))
	defer cancel()
	var h history.History
	it := c.GetWorkflowHistory(ctx, id, run, true, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for it.HasNext() {
		e, err := it.Next()
		if err != nil {
			return nil, "", err
		}
		h.Events = append(h.Events, e)
	}
	last := h.Events[len(h.Events)-1]
	return &h, last.GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId(), nil
}
