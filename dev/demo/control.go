package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"github.com/omnibox-go/omnibox/dev/demo/billing"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

const (
	pipelineName = "outbox" // what it is without a file
	shards       = 4
	// retryBase is short, for people who wait for a retry.
	retryBase = 500 * time.Millisecond
)

// environment is the whole configuration of the worker.
func (s *stack) environment(metricsPort int) []string {
	return []string{
		"OMNIBOX_DATABASE_URL=" + s.databaseURL,
		"OMNIBOX_KAFKA_BROKERS=" + strings.Join(s.brokers, ","),
		"OMNIBOX_TEMPORAL_ADDRESS=" + s.temporal.Address(),
		"OMNIBOX_TEMPORAL_ID_PREFIX=" + s.prefix,
		"OMNIBOX_OUTBOXES_OUTBOX_SHARDS=" + strconv.Itoa(shards),
		"OMNIBOX_OUTBOXES_OUTBOX_RETRY_BASE=" + retryBase.String(),
		"OMNIBOX_HTTP_LISTEN=127.0.0.1:" + strconv.Itoa(metricsPort),
	}
}

// startWorker runs a worker in this program, and waits until it works.
func (sh *show) startWorker(ctx context.Context) error {
	since := time.Now()
	st := sh.stack
	port, err := servers.FreePort()
	if err != nil {
		return err
	}
	cfg, err := config.Parse("demo", nil, st.environment(port))
	if err != nil {
		return err
	}
	sh.limits = cfg.Outboxes[pipelineName]
	w, err := worker.New(cfg, worker.Step(pipelineName, sh.audit), worker.Log(st.log)) //nolint:contextcheck // pools outlive any context
	if err != nil {
		return err
	}
	// Ctrl-C ends the orders first, and then the worker.
	workerCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(workerCtx) }()
	st.closeLater(func(context.Context) error { cancel(); return <-ended })
	if err := poll(ctx, func(context.Context) (bool, error) { return w.Ready(), nil }); err != nil {
		return st.missing("worker", "see "+filepath.Join(st.dir, "worker.log"), err)
	}
	st.up("Worker", fmt.Sprintf("%d pollers, and a step of the service's own: audit", shards), since)
	sh.metrics = port
	return nil
}

// dialTemporal makes the client that sends signals, and makes sure that the
// server answers. It reads the same variables as the worker's own.
func (s *stack) dialTemporal(ctx context.Context) error {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return err
	}
	options.HostPort, options.Logger = s.temporal.Address(), log.NewStructuredLogger(s.log)
	ctx, cancel := context.WithTimeout(ctx, dialing)
	defer cancel()
	if s.client, err = client.DialContext(ctx, options); err != nil {
		return err
	}
	s.closeLater(func(ctx context.Context) error {
		defer s.client.Close()
		if s.options.TemporalAddress == "" {
			return nil
		}
		return s.endWorkflows(ctx)
	})
	return nil
}

// endWorkflows ends what would wait for a worker, or a person, on a server that
// lives longer than the demo.
func (s *stack) endWorkflows(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closing)
	defer cancel()
	ids := append(slices.Clone(s.escalated), workflows.ConsumerID(s.billingPrefix(), billing.Inbox, 0))
	for shard := range shards {
		ids = append(ids, workflows.PollerID(s.prefix, pipelineName, shard))
	}
	for shard := range billing.Shards {
		ids = append(ids, workflows.PollerID(s.billingPrefix(), billing.Inbox, shard), workflows.PollerID(s.billingPrefix(), billing.Outbox, shard))
	}
	var errs []error
	for _, id := range ids {
		err := s.client.TerminateWorkflow(ctx, id, "", "end of the demo")
		if _, none := errors.AsType[*serviceerror.NotFound](err); !none { // not started yet, or ended
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// signal sends a signal to a poller; it is meant for the whole pipeline.
func (s *stack) signal(ctx context.Context, name string) error {
	id := workflows.PollerID(s.prefix, pipelineName, 0)
	err := s.client.SignalWorkflow(ctx, id, "", name, workflows.PauseSignal{By: "demo", Reason: "to show it"})
	if err != nil {
		return fmt.Errorf("signal %s: %w", name, err)
	}
	return nil
}

// tellWhereToLook shows what a browser can open.
func (s *stack) tellWhereToLook(metricsPort int) {
	id := workflows.PollerID(s.prefix, pipelineName, 0)
	s.screen.print("")
	s.screen.say("A poller in Temporal, and the worker's metrics:")
	s.showWorkflow(id)
	s.screen.command(fmt.Sprintf("http://127.0.0.1:%d/metrics", metricsPort))
}

// poll asks until the answer is yes.
func poll(ctx context.Context, ask func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ask(ctx)
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
