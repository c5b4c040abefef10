package servers_test

import (
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/omnibox-go/omnibox/dev/servers"
)

func dialTemporal(t *testing.T, address, namespace string) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: address, Namespace: namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	return c
}

func TestTemporalKeepsItsStateOverARestart(t *testing.T) {
	t.Parallel()
	s, err := servers.StartTemporal(t.Context(), servers.TemporalOptions{
		Progress: os.Stderr, Namespaces: []string{"orders"}, DynamicConfig: servers.TemporalLoad(),
		SearchAttributes: map[string]string{"OmniboxPipeline": "Keyword"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })

	resp, err := http.Get(s.UIAddress())
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	http.DefaultClient.CloseIdleConnections()

	c := dialTemporal(t, s.Address(), "orders")
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "kept", TaskQueue: "nobody"}, "Some")
	require.NoError(t, err)
	c.Close()

	for _, again := range []func() error{
		func() error { return s.Restart(t.Context()) },
		func() error { require.NoError(t, s.Kill()); return s.Start(t.Context()) },
	} {
		require.NoError(t, again())
		c := dialTemporal(t, s.Address(), "orders")
		require.Eventually(t, func() bool {
			d, err := c.DescribeWorkflowExecution(t.Context(), "kept", run.GetRunID())
			return err == nil && d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING
		}, time.Minute, 100*time.Millisecond)
		c.Close()
	}
}
