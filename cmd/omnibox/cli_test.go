package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/worker/config"
)

func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	c := &cli{}
	r := c.run(t, "--help")
	require.Zero(t, r.code)
	require.Contains(t, r.out, "Exit codes:")
	require.Contains(t, r.out, "omnibox migrate up")
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		require.NotEmpty(t, cmd.Short, cmd.CommandPath())
		if cmd.HasSubCommands() {
			for _, sub := range cmd.Commands() {
				check(sub)
			}
			return
		}
		require.NotEmpty(t, cmd.Example, cmd.CommandPath())
	}
	check(newRoot(&app{}))
}

func TestEveryCommandIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/cli.md")
	require.NoError(t, err)
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.HasSubCommands() {
			for _, sub := range cmd.Commands() {
				check(sub)
			}
			return
		}
		require.Contains(t, string(text), "`"+strings.TrimPrefix(cmd.CommandPath(), "omnibox "), cmd.CommandPath())
	}
	check(newRoot(&app{}))
	for code := range 5 {
		require.Contains(t, string(text), fmt.Sprintf("| %d |", code))
	}
}

func TestWrongUseIsExplained(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	for line, want := range map[string]string{
		"frobnicate":                           `unknown command "frobnicate"`,
		"dead replya":                          "there is no omnibox dead replya; did you mean replay?",
		"status --frob":                        "unknown flag: --frob",
		"status -o xml":                        "--output xml: it is table or json",
		"status billing":                       "there is no pipeline billing; there are: orders",
		"pause a b":                            "2 arguments, at most 1 expected: the pipeline",
		"migrate grants":                       "one argument expected: the database user",
		"migrate grants u --role owner":        "--role owner: it is worker or producer",
		"pause --key k":                        "--topic and --key go together",
		"dead list --class temporary":          "--class temporary: it is one of transient, permanent, poison, followed",
		"dead list --since yesterday":          "--since yesterday: give a duration such as 2h, or a time such as",
		"dead list --state gone":               "--state gone: it is open, replayed, discarded or all",
		"dead list --cursor 7":                 "--cursor 7: take what the page before has named",
		"dead list --limit 0":                  "--limit 0",
		"dead show nonsense":                   `"nonsense" is neither an event's id, such as 5f0c0e9e-8f5f-4a53-9f0e-2a4a5b1f6c11, nor the number of a dead letter`,
		"dead show":                            "one argument expected",
		"dead replay":                          "name the events to replay, or use --all",
		"dead replay 1 --all":                  "name ids or use --all, not both",
		"dead replay 1 --class transient":      "--class choose among --all",
		"dead replay 1 --limit 5":              "--limit is for --all",
		"dead replay --all":                    "use --dry-run to see how many, then --yes",
		"dead discard --all --class permanent": "use --dry-run to see how many, then --yes",
		"-c /no/such/file status":              "open /no/such/file",
	} {
		r := c.run(t, line)
		require.Equal(t, exitUsage, r.code, line)
		require.Contains(t, r.err, want, line)
		require.Empty(t, r.out, line)
	}
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	good := &cli{config: writeConfig(t, `
databases: { main: { url: "postgres://app:hunter2@db/app" } }
brokers: { kafka: { addresses: ["localhost:9092"], sasl: { username: u, password: hunter2 } } }
outboxes: { orders: { batch: 7 } }
`)}
	r := good.run(t, "config check")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "batch: 7")
	require.Contains(t, r.out, "lease: 15s")
	require.Contains(t, r.out, "postgres://app:xxxxx@db/app")
	require.NotContains(t, r.out, "hunter2")
	r = good.run(t, "config check -o json")
	require.Zero(t, r.code, r.err)
	require.True(t, json.Valid([]byte(r.out)), r.out)
	require.NotContains(t, r.out, "hunter2")

	bad := &cli{config: writeConfig(t, "databases: {main: {url: x}}\noutboxes:\n  orders:\n    bacth: 7\n    lease: 1s\n")}
	r = bad.run(t, "config check")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.err, "omnibox.yaml:4: outboxes.orders.bacth: no such key; did you mean batch?")
	require.Contains(t, r.err, "omnibox.yaml:5: outboxes.orders.lease: 1s is out of range")
	require.Contains(t, r.err, `there is no broker "kafka"`)
}

func TestADatabaseURLThatNobodyUnderstands(t *testing.T) {
	t.Parallel()
	c := &cli{config: writeConfig(t, "databases:\n  main:\n    url: postgres://u:hunter2@h:notaport/db\nbrokers: { kafka: { addresses: [\"h:1\"] } }\n")}
	for _, line := range []string{"config check", "worker", "doctor", "status", "migrate up", "dead list", "config apply"} {
		r := c.run(t, line)
		require.Equal(t, exitUsage, r.code, line)
		require.Contains(t, r.err, "omnibox.yaml:3: databases.main.url: cannot be read: invalid port", line)
		require.NotContains(t, r.err, "hunter2", line)
	}
}

func TestMigrateFromNothing(t *testing.T) {
	t.Parallel()
	c := newCLIOn(t, devtest.Database(t))
	r := c.run(t, "migrate status")
	require.Equal(t, exitProblem, r.code)
	require.Regexp(t, `main +public\.outbox_events +0 +\d+ +run omnibox migrate up`, r.out)
	r = c.run(t, "status")
	require.Equal(t, exitError, r.code)
	require.Contains(t, r.err, "pipeline orders: schema of core is not there, or not complete: run `omnibox migrate up`")

	r = c.run(t, "migrate up")
	require.Zero(t, r.code, r.err)
	require.Regexp(t, `main +core +1 +omnibox +applied`, r.out)
	require.Contains(t, r.out, "Up to date.")
	r = c.run(t, "migrate up")
	require.Zero(t, r.code, r.err)
	require.Equal(t, "Up to date.\n", r.out)
	r = c.run(t, "migrate status -o json")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, `"state": "ok"`)
}

func TestMigrateByHand(t *testing.T) {
	t.Parallel()
	c := newCLIOn(t, devtest.Database(t))
	r := c.run(t, "migrate print")
	require.Zero(t, r.code, r.err)
	byHand := strings.ReplaceAll(r.out, `\set ON_ERROR_STOP on`, "")
	c.exec(t, byHand)
	require.Equal(t, "Up to date.\n", c.run(t, "migrate up").out)
	require.Contains(t, c.run(t, "migrate print --adopt").out, "create index concurrently")
	require.Equal(t, exitUsage, c.run(t, "migrate print --database other").code)
}

// trap: 35
func TestGrantsAreEnough(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.dead(t)
	user := fmt.Sprintf("cli_%d", os.Getpid())
	c.exec(t, "create role "+user+" login password 'x'")
	owner := c.db
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := owner.Exec(ctx, "drop owned by "+user+"; drop role "+user)
		require.NoError(t, err)
	})
	u, err := url.Parse(owner.Config().ConnConfig.ConnString())
	require.NoError(t, err)
	u.User = url.UserPassword(user, "x")
	as := newCLIOn(t, u.String())
	for _, line := range []string{"status", "dead replay 1", "pause"} {
		r := as.run(t, line)
		require.Equal(t, exitError, r.code, line)
		require.Contains(t, r.err, "permission denied", line)
		require.Contains(t, r.err, "run what `omnibox migrate grants` prints", line)
	}

	grants := c.run(t, "migrate grants "+user)
	require.Zero(t, grants.code, grants.err)
	c.exec(t, grants.out)
	for _, line := range []string{
		"migrate status", "status", "config apply", "pause", "resume", "dead list", "dead show 1", "dead replay 1", "dead discard 2",
		"pause --topic orders --key k3", "resume --topic orders --key k3",
	} {
		r := as.run(t, line)
		require.Contains(t, []int{exitOK, exitNothing}, r.code, "%s: %s", line, r.err)
	}
	for _, check := range checkOnly(t, as) {
		require.NotEqual(t, "fail", check.State, "%+v", check)
	}
}

// checkOnly is what doctor finds of the database alone.
func checkOnly(t *testing.T, c *cli) []finding {
	t.Helper()
	cfg, err := config.LoadDatabases(c.config)
	require.NoError(t, err)
	checks, _, _ := checkPipeline(t.Context(), cfg, "orders")
	var all []finding
	for _, one := range checks {
		all = append(all, finding{Check: one.Name, State: string(one.State), Found: one.Found, Mend: one.Mend})
	}
	return all
}

func TestADatabaseThatIsDown(t *testing.T) {
	t.Parallel()
	c := &cli{config: writeConfig(t, "databases: {main: {url: \"postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=2\"}}\noutboxes: {orders: {}}\n")}
	for _, line := range []string{"status", "migrate status", "dead list"} {
		r := c.run(t, line)
		require.Equal(t, exitError, r.code, line)
		require.Contains(t, r.err, "omnibox: database main: ", line)
		require.Contains(t, r.err, "connection refused", line)
		require.NotContains(t, r.err, "hunter2", line)
	}
}

// Where events wait it is asked whether the broker is there.
func TestStatusNamesABrokerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.config = writeConfig(t, fmt.Sprintf(
		"databases: { main: { url: %q } }\nbrokers: { kafka: { addresses: [\"127.0.0.1:1\"] } }\noutboxes: { orders: {} }\n", c.db.Config().ConnString()))
	require.NotContains(t, c.run(t, "status").out, "does not answer")
	c.dead(t)
	c.exec(t, "update outbox_events set status = 'pending', created_at = now() - interval '1 minute', scheduled_at = now() - interval '1 minute'")
	r := c.run(t, "status")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "The broker of orders, kafka, does not answer here: ")
	var views []statusView
	require.NoError(t, json.Unmarshal([]byte(c.run(t, "status -o json").out), &views))
	require.NotEmpty(t, views[0].Broker)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.dead(t)
	c.exec(t, `insert into omnibox.holds (table_name, topic, partition_key, reason, held_by) values ('public.outbox_events', 'orders', 'k9', 'paused', 'ann')`)
	c.exec(t, `update omnibox.slots set owner = 'worker-1', lease_until = now() + interval '1 minute', dirty = true where slot < 16`)
	r := c.run(t, "status")
	require.Zero(t, r.code, r.err)
	require.Regexp(t, `(?m)^PIPELINE +TABLE +STATE +BACKLOG +LAG`, r.out)
	require.Regexp(t, `(?m)^orders +public\.outbox_events +running +0 +0s +0 +0 +1 paused +2 transient, 1 permanent +16/64 leased$`, r.out)
	require.Regexp(t, `(?m)^orders +k9 +paused .* ann$`, r.out)
	require.Regexp(t, `(?m)^worker-1 +16 `, r.out)

	var views []statusView
	r = c.run(t, "status orders -o json")
	require.Zero(t, r.code, r.err)
	require.NoError(t, json.Unmarshal([]byte(r.out), &views))
	require.Equal(t, 2, views[0].Dead["transient"].N)
	require.Len(t, views[0].Slots, 64)
	require.Nil(t, views[0].Paused)
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	r := c.runArgs(t, "pause", "orders", "--by", "ann", "--reason", "broker moves")
	require.Zero(t, r.code, r.err)
	require.Regexp(t, `^Paused: orders \(since .*, by ann: broker moves\)\n$`, r.out)
	r = c.run(t, "pause --by bob")
	require.Equal(t, exitNothing, r.code)
	require.Regexp(t, `^Already paused: orders \(since .*, by ann: broker moves\)\n$`, r.out)
	r = c.run(t, "status")
	require.Contains(t, r.out, "orders is paused since")
	r = c.run(t, "resume orders")
	require.Zero(t, r.code)
	require.Contains(t, r.out, "Resumed: orders")
	r = c.run(t, "resume orders")
	require.Equal(t, exitNothing, r.code)
	require.Equal(t, "Was not paused: orders\n", r.out)

	r = c.run(t, "pause orders --topic orders --key 4711 --by ann -o json")
	require.Zero(t, r.code, r.err)
	var got paused
	require.NoError(t, json.Unmarshal([]byte(r.out), &got))
	require.Equal(t, "4711", got.Key)
	require.True(t, got.Changed)
	r = c.run(t, "resume orders --topic orders --key 4711")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "Resumed: orders, key 4711 of topic orders")
}

func TestConfigApply(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.exec(t, `update omnibox.boxes set settings = '{"claim": "shard", "ordering": "key", "behind_failure": "block", "lease": "1m0s"}'`)
	r := c.run(t, "config apply")
	require.Zero(t, r.code, r.err)
	require.Equal(t, "orders: lease was 1m0s, is 15s\n", r.out)
	r = c.run(t, "config apply")
	require.Equal(t, exitNothing, r.code)
	require.Equal(t, "orders: nothing to change\n", r.out)
}

func TestConfigApplyIsRefusedWhileWorkersAreAtWork(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	const stored = `{"claim": "row", "lease": "15s", "ordering": "key", "behind_failure": "block"}`
	c.exec(t, `update omnibox.boxes set settings = $1::text::jsonb`, stored)
	c.exec(t, "update omnibox.slots set owner = 'host:1:a', lease_until = now() + interval '1 minute' where slot < 3")
	r := c.run(t, "config apply")
	require.Equal(t, exitError, r.code)
	require.Contains(t, r.err, "workers have events of table outbox_events in their hands: host:1:a; stop them first, or --force it")
	require.JSONEq(t, stored, c.text(t, "select settings::text from omnibox.boxes"))
	r = c.run(t, "config apply --force")
	require.Zero(t, r.code, r.err)
	require.Equal(t, "orders: claim was row, is shard\n", r.out)
	require.Equal(t, exitNothing, c.run(t, "config apply").code, "there is nothing to refuse")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	c := &cli{}
	require.Regexp(t, `^omnibox .*go1\.`, c.run(t, "version").out)
	require.True(t, json.Valid([]byte(c.run(t, "version -o json").out)))
}

func TestVersionsOfDifferentBuilds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		info *debug.BuildInfo
		want string
	}{
		"of nothing":     {nil, "omnibox devel, "},
		"of a directory": {&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "omnibox devel, "},
		"of a release":   {&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "omnibox v1.2.3, "},
		"of a clone": {&debug.BuildInfo{
			Main: debug.Module{Version: "v1.2.4-0.20260101000000-abc"}, Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abcdef"}},
		}, "omnibox v1.2.4-0.20260101000000-abc abcdef, "},
	} {
		require.Equal(t, tt.want+runtime.Version(), thisVersion(tt.info, tt.info != nil).String(), name)
	}
}

func TestAPauseOfNobodyReadsWell(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	require.Zero(t, c.runArgs(t, "pause", "--by", "", "--reason", "").code)
	require.Regexp(t, `(?m)^orders is paused since [0-9: -]+\.$`, c.run(t, "status").out)
	require.Regexp(t, `^Resumed: orders \(since [0-9: -]+\)\n$`, c.run(t, "resume").out)
	require.Zero(t, c.runArgs(t, "pause", "--by", "me").code)
	require.Regexp(t, `(?m)^orders is paused since [0-9: -]+, by me\.$`, c.run(t, "status").out)
	require.Zero(t, c.run(t, "resume").code)
	require.Zero(t, c.runArgs(t, "pause", "--by", "me", "--reason", "ui").code)
	require.Regexp(t, `(?m)^orders is paused since [0-9: -]+, by me: ui\.$`, c.run(t, "status").out)
}
