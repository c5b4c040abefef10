package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"

	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

// TemporalOptions are those of a client as the configuration and, where that leaves
// something open, the TEMPORAL_* variables have them. Address and namespace are
// filled in whatever the error, which is of the variables or their profile file.
func TemporalOptions(cfg config.Temporal) (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	options.HostPort = cmp.Or(cfg.Address, options.HostPort, client.DefaultHostPort)
	options.Namespace = cmp.Or(cfg.Namespace, options.Namespace, client.DefaultNamespace)
	return options, err
}

// newTemporalClient makes a client that dials when it is first used. It returns
// the namespace too.
func newTemporalClient(cfg config.Temporal, logger *slog.Logger) (client.Client, string, error) {
	options, err := TemporalOptions(cfg)
	if err != nil {
		return nil, "", err
	}
	options.Logger = log.NewStructuredLogger(logger)
	c, err := client.NewLazyClient(options)
	return c, options.Namespace, err
}

// memoDatabase is the memo in which a poller carries its database's identity.
const memoDatabase = "omnibox_database"

// pollerTaskTimeout is how long a poller waits for a worker that was killed in the
// middle of one of its decisions, which take milliseconds.
const pollerTaskTimeout = 3 * time.Second

// ensurePollers starts those pollers of the box that do not run.
func (b *box) ensurePollers(ctx context.Context) error {
	for shard := range b.cfg.Shards {
		if err := b.ensurePoller(ctx, shard); err != nil {
			return err
		}
	}
	return nil
}

func (b *box) ensurePoller(ctx context.Context, shard int) error {
	id := workflows.PollerID(b.worker.cfg.Temporal.IDPrefix, b.name, shard)
	running, err := b.running(ctx, id)
	if err != nil || running {
		return err
	}
	options := client.StartWorkflowOptions{
		ID:                       id,
		TaskQueue:                b.queue(),
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, // another worker was faster
		Memo:                     map[string]any{memoDatabase: b.relay.Database},
		WorkflowTaskTimeout:      pollerTaskTimeout,
		StaticSummary:            fmt.Sprintf("looks after shard %d of %d of pipeline %s", shard, b.cfg.Shards, b.name),
	}
	state := workflows.PollerState{Poller: activities.Poller{Shard: shard, Database: b.relay.Database}, Pipeline: b.name, Prefix: b.worker.cfg.Temporal.IDPrefix}
	if _, err := b.worker.temporal.ExecuteWorkflow(ctx, options, workflows.PollerWorkflow, state); err != nil {
		return fmt.Errorf("start poller %s: %w", id, err)
	}
	return nil
}

// running looks for a running poller and whose it is.
func (b *box) running(ctx context.Context, id string) (bool, error) {
	found, err := b.worker.temporal.DescribeWorkflowExecution(ctx, id, "")
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for poller %s: %w", id, err)
	}
	info := found.GetWorkflowExecutionInfo()
	if info.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return false, nil
	}
	var database string
	if payload := info.GetMemo().GetFields()[memoDatabase]; payload != nil {
		if err := converter.GetDefaultDataConverter().FromPayload(payload, &database); err != nil {
			return false, fmt.Errorf("read memo of poller %s: %w", id, err)
		}
	}
	if database != b.relay.Database {
		return false, fmt.Errorf("poller %s is there already: %w", id, &activities.WrongDatabaseError{Poller: database, Worker: b.relay.Database})
	}
	return true, nil
}
