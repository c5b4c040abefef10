package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/workflows"
)

func TestDoctorWhereEverythingIsThere(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.config = writeConfig(t, fmt.Sprintf(`
databases: { main: { url: %q } }
brokers: { kafka: { addresses: [%q] } }
temporal: { address: %q, namespace: %q }
outboxes: { orders: {} }
`, c.db.Config().ConnString(), devtest.Brokers(t)[0], devtest.Temporal(t).Address(), namespaceWithAttributes(t)))
	r := c.run(t, "doctor -o json")
	require.Zero(t, r.code, "%s%s", r.out, r.err)
	var all []finding
	require.NoError(t, json.Unmarshal([]byte(r.out), &all))
	for _, f := range all {
		require.Equal(t, "ok", f.State, "%+v", f)
	}

	c.dead(t)
	c.exec(t, `update outbox_events set status = 'pending', attempts_made = 0, topic = 'no-such-topic'`)
	c.exec(t, "delete from omnibox.slots where slot = 0")
	r = c.run(t, "doctor")
	require.Equal(t, exitProblem, r.code)
	require.Regexp(t, `(?m)^fail +pipeline orders +slots +63 of 64 slots have a lease row$`, r.out)
	require.Regexp(t, `(?m)^fail +broker kafka +topic no-such-topic `, r.out)
	require.Contains(t, r.out, "mend: create the topic")
	require.Contains(t, r.out, "mend: omnibox migrate up")
}

func TestDoctorWhereNothingIsThere(t *testing.T) {
	t.Parallel()
	c := &cli{config: writeConfig(t, `
databases: { main: { url: "postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=2" } }
brokers: { kafka: { addresses: ["127.0.0.1:1"] } }
temporal: { address: "127.0.0.1:1" }
outboxes: { orders: {} }
`)}
	r := c.run(t, "doctor")
	require.Equal(t, exitProblem, r.code, r.err)
	require.Regexp(t, `(?m)^fail +pipeline orders +database `, r.out)
	require.Regexp(t, `(?m)^fail +broker kafka +server `, r.out)
	require.Regexp(t, `(?m)^fail +temporal +server `, r.out)
	require.Contains(t, r.out, "mend: check databases.main.url")
	require.NotContains(t, r.out, "hunter2")
}

func TestDoctorWithoutTablesOrNamespace(t *testing.T) {
	t.Parallel()
	c := &cli{config: writeConfig(t, fmt.Sprintf(`
databases: { main: { url: %q } }
brokers: { kafka: { addresses: ["127.0.0.1:1"] } }
temporal: { address: %q, namespace: nowhere }
outboxes: { orders: {} }
`, devtest.Database(t), devtest.Temporal(t).Address()))}
	r := c.run(t, "doctor")
	require.Equal(t, exitProblem, r.code, r.err)
	require.Regexp(t, `(?m)^fail +pipeline orders +table `, r.out)
	require.Contains(t, r.out, "mend: omnibox migrate up")
	require.Contains(t, r.out, "mend: temporal operator namespace create --address 127.0.0.1:")
	require.Contains(t, r.out, " --namespace nowhere\n")
}

// temporalClient speaks to a namespace of the shared server.
func temporalClient(t *testing.T, namespace string) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: devtest.Temporal(t).Address(), Namespace: namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func namespaceWithAttributes(t *testing.T) string {
	t.Helper()
	namespace := devtest.Namespace(t)
	require.NoError(t, worker.AddAttributes(t.Context(), temporalClient(t, namespace), namespace, workflows.Attributes()))
	return namespace
}

func TestDoctorNamesMissingSearchAttributes(t *testing.T) {
	t.Parallel()
	namespace := devtest.Namespace(t)
	attributes := func(lane string) finding {
		c := &cli{config: writeConfig(t, fmt.Sprintf(`
databases: { main: { url: "postgres://u@127.0.0.1:1/x?connect_timeout=2" } }
brokers: { kafka: { addresses: ["127.0.0.1:1"] } }
temporal: { address: %q, namespace: %q }
outboxes: { orders: { lane: %s } }
`, devtest.Temporal(t).Address(), namespace, lane))}
		var all []finding
		require.NoError(t, json.Unmarshal([]byte(c.run(t, "doctor -o json").out), &all))
		i := slices.IndexFunc(all, func(f finding) bool { return f.Check == "search attributes" })
		require.GreaterOrEqual(t, i, 0, "%+v", all)
		return all[i]
	}
	got := attributes("batch")
	require.Equal(t, "warn", got.State)
	require.Contains(t, got.Found, "lane batch needs none")
	got = attributes("auto")
	require.Equal(t, "warn", got.State, "a worker adds them")

	_, err := temporalClient(t, namespace).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: workflows.PollerID("omnibox", "orders", 0), TaskQueue: "nobody",
	}, "omnibox.Poller")
	require.NoError(t, err)
	require.Equal(t, "warn", attributes("batch").State)
	got = attributes("auto")
	require.Equal(t, "fail", got.State, "there was a worker")
	require.Contains(t, got.Found, "there is no OmniboxPipeline, OmniboxTopic, OmniboxKey, OmniboxStatus, OmniboxErrorClass")
	require.Equal(t, "temporal operator search-attribute create --address "+devtest.Temporal(t).Address()+" --namespace "+namespace+
		" --name OmniboxPipeline --type Keyword --name OmniboxTopic --type Keyword --name OmniboxKey --type Keyword"+
		" --name OmniboxStatus --type Keyword --name OmniboxErrorClass --type Keyword", got.Mend)

	// the command works as it is printed
	binary, err := servers.TemporalBinary(t.Context(), io.Discard)
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), binary, strings.Fields(got.Mend)[1:]...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Eventually(t, func() bool { return attributes("auto").State == "ok" }, time.Minute, 100*time.Millisecond)
}
