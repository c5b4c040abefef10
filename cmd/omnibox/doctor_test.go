package main

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
)

func TestDoctorWhereEverythingIsThere(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.config = writeConfig(t, fmt.Sprintf(`
databases: { main: { url: %q } }
brokers: { kafka: { addresses: [%q] } }
temporal: { address: %q }
outboxes: { orders: {} }
`, c.db.Config().ConnString(), devtest.Brokers(t)[0], devtest.Temporal(t).Address()))
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
	require.Contains(t, r.out, "mend: temporal operator namespace create --namespace nowhere")
}
