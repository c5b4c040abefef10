package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

// checkTemporal asks the server for the namespace, and for what the workflows of
// the named pipelines need there.
func checkTemporal(ctx context.Context, cfg *config.Config, names []string) []store.Check {
	options, err := worker.TemporalOptions(cfg.Temporal)
	if err != nil {
		return []store.Check{failed("server", err, "correct the TEMPORAL_* variables or the profile file")}
	}
	options.Logger = log.NewStructuredLogger(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("temporal at %s did not answer within %s", options.HostPort, probeTimeout))
	defer cancel()
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return []store.Check{failed("server", fmt.Errorf("%s: %w", options.HostPort, err),
			"set temporal.address or TEMPORAL_ADDRESS, and check that the server answers from here")}
	}
	defer c.Close()
	checks := []store.Check{{Name: "server", State: store.HealthOK, Found: options.HostPort + " answers"}}
	_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: options.Namespace})
	if _, missing := errors.AsType[*serviceerror.NamespaceNotFound](err); missing {
		return append(checks, store.Check{
			Name: "namespace", State: store.HealthFail, Found: "there is no namespace " + options.Namespace,
			Mend: newTemporal(cfg.Temporal).command("operator namespace create"),
		})
	}
	if err != nil {
		return append(checks, failed("namespace", err, ""))
	}
	return append(checks,
		store.Check{Name: "namespace", State: store.HealthOK, Found: options.Namespace + " is there"},
		checkAttributes(ctx, c, options.Namespace, cfg, names))
}

// checkAttributes asks whether people can search for event workflows. A worker
// whose lane has them adds the attributes when it starts, if it may: where they
// lack although there was one, a person must.
func checkAttributes(ctx context.Context, c client.Client, namespace string, cfg *config.Config, names []string) store.Check {
	const name = "search attributes"
	missing, err := worker.MissingAttributes(ctx, c, namespace)
	if err != nil {
		return store.Check{
			Name: name, State: store.HealthWarn, Found: "cannot be listed: " + short(err.Error(), 300),
			Mend: "see that the namespace has " + list(workflows.Attributes()) + ", all of type Keyword",
		}
	}
	if len(missing) == 0 {
		return store.Check{Name: name, State: store.HealthOK, Found: "event workflows can be searched for"}
	}
	var flags []string
	for _, one := range missing {
		flags = append(flags, "--name", one, "--type", "Keyword")
	}
	out := store.Check{
		Name: name, State: store.HealthWarn, Found: "there is no " + list(missing),
		Mend: newTemporal(cfg.Temporal).command("operator search-attribute create", flags...),
	}
	needed := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		b, _ := cfg.Box(name)
		return b.Lane == config.LaneBatch
	})
	switch {
	case len(needed) == 0:
		out.Found += "; lane batch needs none"
	case slices.ContainsFunc(needed, func(name string) bool { return workedFor(ctx, c, cfg.Temporal.IDPrefix, name) }):
		out.State = store.HealthFail
		out.Found += ", and the worker could not add them"
	default:
		out.Found += "; the first worker adds them, if it may"
	}
	return out
}

// workedFor tells whether a worker has started a pipeline in the namespace.
func workedFor(ctx context.Context, c client.Client, prefix, pipeline string) bool {
	_, err := c.DescribeWorkflowExecution(ctx, workflows.PollerID(prefix, pipeline, 0), "")
	return err == nil
}
