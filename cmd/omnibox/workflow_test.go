package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

func TestLinksToWorkflows(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "")
	t.Setenv("TEMPORAL_NAMESPACE", "")
	const id = "omnibox/orders/event/" + deadA
	const escaped = "omnibox%2Forders%2Fevent%2F" + deadA
	for name, tt := range map[string]struct {
		cfg  config.Temporal
		want string
	}{
		"this host":        {config.Temporal{}, "http://localhost:8233/namespaces/default/workflows/" + escaped},
		"by number":        {config.Temporal{Address: "127.0.0.1:7233"}, "http://localhost:8233/namespaces/default/workflows/" + escaped},
		"another":          {config.Temporal{Address: "temporal:7233"}, id},
		"another, with ui": {config.Temporal{Address: "temporal:7233", UI: "https://t.example.com/", Namespace: "a b"}, "https://t.example.com/namespaces/a%20b/workflows/" + escaped},
	} {
		tt.cfg.IDPrefix = "omnibox"
		require.Equal(t, tt.want, newTemporal(tt.cfg).event("orders", uuid.MustParse(deadA)).show(), name)
	}
	there := newTemporal(config.Temporal{Address: "temporal:7233", Namespace: "sales", IDPrefix: "omnibox"})
	require.Equal(t, `temporal workflow signal --address temporal:7233 --namespace sales --workflow-id `+id+` --name replay --input '{"by":"you"}'`,
		there.signal(there.event("orders", uuid.MustParse(deadA)), "replay"))
	require.Equal(t, `'it'\''s'`, quote("it's"))
}

// withWorkflows has a parked event, one that waits no longer, and one that is
// retried.
func withWorkflows(t *testing.T, lane string) *cli {
	t.Helper()
	c := newCLI(t)
	c.config = writeConfig(t, fmt.Sprintf(`
databases: { main: { url: %q } }
temporal: { address: "temporal:7233", namespace: sales, ui: "https://t.example.com" }
outboxes: { orders: { lane: %s, calm_threshold: 20, workflow_budget: 60 } }
`, c.db.Config().ConnString(), lane))
	c.dead(t)
	c.exec(t, "update omnibox.dead_letters set parked_until = now() + case id when 1 then interval '1 day' else interval '-1 day' end where id < 3")
	c.exec(t, "delete from omnibox.dead_letters where event_id = $1", deadC)
	c.exec(t, `update outbox_events set status = 'pending', attempts_made = 2, scheduled_at = now() + interval '1 minute', lease_token = 1,
		locked_at = now(), locked_by = 'workflow:orders', lease_until = now() + interval '3 minutes' where id = $1`, deadC)
	c.exec(t, `insert into omnibox.pipelines (name, table_name, workflow_tokens, workflow_tokens_at) values ('orders', 'public.outbox_events', 0, now() - interval '4 seconds')`)
	return c
}

func TestStatusShowsEventsWithWorkflows(t *testing.T) {
	t.Parallel()
	c := withWorkflows(t, "auto")
	const link = "https://t.example.com/namespaces/sales/workflows/omnibox%2Forders%2Fevent%2F"
	r := c.run(t, "status")
	require.Zero(t, r.code, r.err)
	require.Regexp(t, `(?m)^Workflows of orders, lane auto: 0 in flight, 1 retrying, 1 parked; budget left [4-9] of 20, 60 more a minute$`, r.out)
	require.Regexp(t, `(?m)^retrying +orders +k3 +permanent +2 +tried at [^ ]+ [^ ]+ +`+link+deadC+`$`, r.out)
	require.Regexp(t, `(?m)^parked +orders +k1 +transient +6 +waits until [^ ]+ [^ ]+ +`+link+deadA+`$`, r.out)

	var views []statusView
	r = c.run(t, "status -o json")
	require.NoError(t, json.Unmarshal([]byte(r.out), &views))
	require.Equal(t, "auto", views[0].Lane)
	require.Equal(t, 1, views[0].Workflows.Parked.N)
	require.NotNil(t, views[0].Workflows.BudgetLeft)
	require.Equal(t, workflowView{ID: "omnibox/orders/event/" + deadC, URL: link + deadC}, views[0].Workflows.Events[0].Workflow)
}

func TestTheBatchLaneHasNoWorkflows(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.config = writeConfig(t, fmt.Sprintf("databases: { main: { url: %q } }\noutboxes: { orders: { lane: batch } }\n", c.db.Config().ConnString()))
	require.NotContains(t, c.run(t, "status").out, "Workflows")
	c.dead(t)
	require.NotContains(t, c.run(t, "dead list -o json").out, "workflow")
}

func TestDeadShowTellsOfTheWorkflow(t *testing.T) {
	t.Parallel()
	c := withWorkflows(t, "workflow")
	const link = "https://t.example.com/namespaces/sales/workflows/omnibox%2Forders%2Fevent%2F"
	const signal = `temporal workflow signal --address temporal:7233 --namespace sales --workflow-id omnibox/orders/event/`
	r := c.run(t, "dead show 1")
	require.Zero(t, r.code, r.err)
	for _, want := range []string{
		"  workflow        " + link + deadA + "\n",
		", its workflow waits for a person\n",
		"  to replay       " + signal + deadA + ` --name replay --input '{"by":"you"}'` + "\n",
		"  to discard      " + signal + deadA + ` --name discard --input '{"by":"you"}'` + "\n",
	} {
		require.Contains(t, r.out, want)
	}
	require.Regexp(t, `parked +until 20`, r.out)

	r = c.run(t, "dead show 2")
	require.Contains(t, r.out, "  parked          no; omnibox dead replay 2 puts it back\n")
	require.NotContains(t, r.out, "temporal workflow signal")

	r = c.run(t, "dead show "+deadC)
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "  workflow        "+link+deadC+"\n")
	require.Contains(t, r.out, signal+deadC+" --name retry-now")

	var page struct {
		Letters []letterView `json:"dead_letters"`
	}
	r = c.run(t, "dead list -o json")
	require.NoError(t, json.Unmarshal([]byte(r.out), &page))
	require.Len(t, page.Letters, 2)
	require.Nil(t, page.Letters[0].ParkedUntil)
	require.NotNil(t, page.Letters[1].ParkedUntil)
	require.Equal(t, link+deadA, page.Letters[1].Workflow.URL)
}

// What dead show prints can be pasted into a shell.
func TestThePrintedSignalArrives(t *testing.T) {
	t.Parallel()
	namespace := devtest.Namespace(t)
	control := newTemporal(config.Temporal{Address: devtest.Temporal(t).Address(), Namespace: namespace, IDPrefix: "omnibox"})
	event := control.event("orders", uuid.MustParse(deadA))
	c := temporalClient(t, namespace)
	_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: event.ID, TaskQueue: "nobody"}, workflows.EventWorkflow)
	require.NoError(t, err)

	binary, err := servers.TemporalBinary(t.Context(), io.Discard)
	require.NoError(t, err)
	command := control.signal(event, workflows.SignalReplay)
	out, err := exec.CommandContext(t.Context(), "sh", "-c", quote(binary)+strings.TrimPrefix(command, "temporal")).CombinedOutput()
	require.NoError(t, err, "%s: %s", command, out)
	history := c.GetWorkflowHistory(t.Context(), event.ID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		e, err := history.Next()
		require.NoError(t, err)
		if signaled := e.GetWorkflowExecutionSignaledEventAttributes(); signaled != nil {
			require.Equal(t, "replay", signaled.GetSignalName())
			var in workflows.EventSignal
			require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(signaled.GetInput(), &in))
			require.Equal(t, workflows.EventSignal{By: "you"}, in)
			return
		}
	}
	require.Fail(t, "no signal has arrived")
}
