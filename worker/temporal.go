package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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
	options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{} // messages are small: it costs more than it saves
	c, err := client.NewLazyClient(options)
	return c, options.Namespace, err
}

// memoDatabase is the memo in which a poller carries its database's identity.
const memoDatabase = "omnibox_database"

// pollerTaskTimeout is how long a poller waits for a worker that was killed in the
// middle of one of its decisions, which take milliseconds.
const pollerTaskTimeout = 3 * time.Second

// ensurePollers starts those pollers and consumers of the box that do not run.
func (b *box) ensurePollers(ctx context.Context) error {
	prefix, database := b.worker.cfg.Temporal.IDPrefix, b.relay.Database
	for shard := range b.cfg.Shards {
		err := b.ensure(ctx, workflows.PollerWorkflow, client.StartWorkflowOptions{
			ID:            workflows.PollerID(prefix, b.name, shard),
			StaticSummary: fmt.Sprintf("looks after shard %d of %d of pipeline %s", shard, b.cfg.Shards, b.name),
		}, workflows.PollerState{Poller: activities.Poller{Shard: shard, Database: database}, Pipeline: b.name, Prefix: prefix})
		if err != nil {
			return err
		}
	}
	for member := range b.members() {
		err := b.ensure(ctx, workflows.ConsumerWorkflow, client.StartWorkflowOptions{
			ID:            workflows.ConsumerID(prefix, b.name, member),
			StaticSummary: fmt.Sprintf("consumes topics %s as group %s for pipeline %s", strings.Join(b.cfg.Inbox.Topics, ", "), b.cfg.Inbox.Group, b.name),
		}, workflows.ConsumerState{Consumer: activities.Consumer{Member: member, Database: database}, Pipeline: b.name})
		if err != nil {
			return err
		}
	}
	return nil
}

// ensure starts a workflow that lasts, unless it runs.
func (b *box) ensure(ctx context.Context, workflow string, options client.StartWorkflowOptions, state any) error {
	running, err := b.running(ctx, options.ID)
	if err != nil || running {
		return err
	}
	options.TaskQueue = b.queue()
	options.WorkflowIDConflictPolicy = enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING // another worker was faster
	options.Memo = map[string]any{memoDatabase: b.relay.Database}
	options.WorkflowTaskTimeout = pollerTaskTimeout
	if _, err := b.worker.temporal.ExecuteWorkflow(ctx, options, workflow, state); err != nil {
		return fmt.Errorf("start workflow %s: %w", options.ID, err)
	}
	return nil
}

// running looks for a running workflow and whose it is.
func (b *box) running(ctx context.Context, id string) (bool, error) {
	found, err := b.worker.temporal.DescribeWorkflowExecution(ctx, id, "")
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for workflow %s: %w", id, err)
	}
	info := found.GetWorkflowExecutionInfo()
	if info.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return false, nil
	}
	var database string
	if payload := info.GetMemo().GetFields()[memoDatabase]; payload != nil {
		if err := converter.GetDefaultDataConverter().FromPayload(payload, &database); err != nil {
			return false, fmt.Errorf("read memo of workflow %s: %w", id, err)
		}
	}
	if database != b.relay.Database {
		return false, fmt.Errorf("workflow %s is there already: %w", id, &activities.WrongDatabaseError{Poller: database, Worker: b.relay.Database})
	}
	return true, nil
}
