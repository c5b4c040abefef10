package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
)

func TestDeadList(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	r := c.run(t, "dead list")
	require.Equal(t, exitNothing, r.code)
	require.Equal(t, "No dead letters.\n", r.out)

	c.dead(t)
	r = c.run(t, "dead list")
	require.Zero(t, r.code, r.err)
	require.Regexp(t, `(?m)^NO +EVENT +PIPELINE +TOPIC +KEY +TYPE +CLASS +ATTEMPTS +DIED +STATE +ERROR$`, r.out)
	require.Regexp(t, `(?m)^3 +`+deadC+` +orders +orders +k3 +order\.placed +permanent +6 .* open +Boom: no$`, r.out)
	require.NotContains(t, r.out, "4242")
	require.Less(t, strings.Index(r.out, deadC), strings.Index(r.out, deadA), "the latest first")

	r = c.run(t, "dead list --class permanent --topic orders --type order.placed --since 1h")
	require.Equal(t, 1, strings.Count(r.out, "order.placed"))
	r = c.run(t, "dead list --until 2020-01-01")
	require.Equal(t, exitNothing, r.code)

	r = c.run(t, "dead list --limit 2")
	_, more, ok := strings.Cut(r.out, "More of orders: omnibox ")
	require.True(t, ok, r.out)
	r = c.run(t, strings.TrimSpace(more))
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, deadA)
	require.NotContains(t, r.out, deadB)

	var page struct {
		Letters []letterView      `json:"dead_letters"`
		Next    map[string]string `json:"next"`
	}
	r = c.run(t, "dead list --limit 2 -o json")
	require.NoError(t, json.Unmarshal([]byte(r.out), &page))
	require.Len(t, page.Letters, 2)
	require.NotEmpty(t, page.Next["orders"])

	r = c.run(t, "dead list --summary")
	require.Zero(t, r.code, r.err)
	require.Regexp(t, `(?m)^orders +2 +2 +transient +f-transient .* order\.placed +Boom: no$`, r.out)
}

func TestDeadShow(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.dead(t)
	r := c.run(t, "dead show "+deadA)
	require.Zero(t, r.code, r.err)
	for _, want := range []string{
		"Dead letter 1 of pipeline orders: open", "error           Boom: no", "attempts        6 of 6, replayed 0 times",
		"header tenant   acme", "--payload shows it", "Row: failed",
	} {
		require.Contains(t, r.out, want)
	}
	require.NotContains(t, r.out, "4242")
	require.NotContains(t, c.run(t, "dead show 1 -o json").out, "4242")

	require.Contains(t, c.run(t, "dead show 1 --payload").out, `{"card": "4242"}`)
	var shown struct {
		Row struct{ Payload map[string]string }
	}
	require.NoError(t, json.Unmarshal([]byte(c.run(t, "dead show 1 --payload -o json").out), &shown))
	require.Equal(t, "4242", shown.Row.Payload["card"])

	r = c.run(t, "dead show 77")
	require.Equal(t, exitNothing, r.code)
	require.Contains(t, r.err, "no event or dead letter has the id 77; see omnibox dead list --state all")

	c.exec(t, "delete from outbox_events")
	require.Contains(t, c.run(t, "dead show 1").out, "The row is gone from the table: it cannot be replayed.")
}

// trap: 39
func TestDeadReplay(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.dead(t)
	r := c.runArgs(t, "dead", "replay", deadA, "2", "77", "--by", "ann")
	require.Equal(t, exitError, r.code, "some were not")
	require.Equal(t, "Replayed 2 events.\nNot replayed: 77: no event or dead letter has this id\n", r.out)
	require.Equal(t, "pending 0 1", c.text(t, "select status || ' ' || attempts_made || ' ' || replays from outbox_events where id = $1", deadA))
	require.Equal(t, "ann", c.text(t, "select resolved_by from omnibox.dead_letters where id = 2"))

	r = c.run(t, "dead replay 2 --by bob")
	require.Equal(t, exitNothing, r.code)
	require.Regexp(t, `Not replayed: 2: already replayed on .* by ann; it is pending now`, r.out)

	r = c.run(t, "dead replay 3 -o json")
	require.Zero(t, r.code, r.err)
	require.JSONEq(t, `{"replayed": 1, "dry_run": false, "refused": []}`, r.out)
	require.Contains(t, c.text(t, "select resolved_by from omnibox.dead_letters where id = 3"), "@", "by default it is user@host")
}

func TestDeadReplayAll(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.dead(t)
	r := c.run(t, "dead replay --all --class transient --dry-run")
	require.Zero(t, r.code, r.err)
	require.Equal(t, "Would have replayed 2 events.\n", r.out)
	require.Equal(t, "3", c.text(t, "select count(*)::text from outbox_events where status = 'failed'"))

	c.answers = "n\n"
	r = c.run(t, "dead replay --all --class transient")
	require.Equal(t, exitNothing, r.code)
	require.Contains(t, r.err, "Replay 2 dead events? [y/N]")
	require.Equal(t, "Nothing changed.\n", r.out)
	require.Equal(t, "3", c.text(t, "select count(*)::text from outbox_events where status = 'failed'"))

	c.answers = "y\n"
	r = c.run(t, "dead replay --all --class transient")
	require.Zero(t, r.code, r.err)
	require.Equal(t, "Replayed 2 events.\n", r.out)
	require.Equal(t, deadC, c.text(t, "select id::text from outbox_events where status = 'failed'"))

	c.answers = ""
	r = c.run(t, "dead replay --all --yes --limit 5")
	require.Zero(t, r.code, r.err)
	r = c.run(t, "dead replay --all --yes")
	require.Equal(t, exitNothing, r.code)
	require.Equal(t, "Replayed 0 events.\n", r.out)
}

// What dies while somebody is being asked is not among what they were told of.
func TestDeadDiscardAllTakesWhatWasCounted(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.dead(t)
	slow := afterwards{reader: strings.NewReader("y\n"), before: func() {
		c.exec(t, `insert into omnibox.dead_letters (table_name, pipeline, event_id, event_created_at, topic, partition_key, event_type,
				error, error_class, fingerprint, attempts, first_at)
			select table_name, pipeline, gen_random_uuid(), event_created_at, topic, partition_key, event_type, error, error_class,
				fingerprint, attempts, first_at
			from omnibox.dead_letters where id = 1`)
	}}
	var out, errs bytes.Buffer
	a := &app{in: &slow, out: &out, err: &errs, interactive: true}
	require.Zero(t, run(t.Context(), a, []string{"-c", c.config, "dead", "discard", "--all"}), errs.String())
	require.Contains(t, errs.String(), "Discard 3 dead events? [y/N]")
	require.Equal(t, "Discarded 3 events.\n", out.String())
	require.Equal(t, "1", c.text(t, "select count(*)::text from omnibox.dead_letters where state = 'open'"))
}

// afterwards reads when something has been done.
type afterwards struct {
	reader io.Reader
	before func()
}

func (a *afterwards) Read(p []byte) (int, error) {
	if a.before != nil {
		a.before()
		a.before = nil
	}
	return a.reader.Read(p)
}

// An interrupt ends a question, also one that nobody answers.
func TestDeadReplayAllCanBeInterrupted(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.dead(t)
	ctx, interrupt := context.WithCancel(t.Context())
	nobody := silence{asked: make(chan struct{}), over: make(chan struct{})}
	defer close(nobody.over)
	var out, errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		a := &app{in: nobody, out: &out, err: &errs, interactive: true}
		done <- run(ctx, a, []string{"-c", c.config, "dead", "replay", "--all"})
	}()
	<-nobody.asked
	interrupt()
	require.Equal(t, exitError, <-done)
	require.Equal(t, "Replay 3 dead events? [y/N] \nomnibox: interrupted\n", errs.String())
	require.Equal(t, "3", c.text(t, "select count(*)::text from outbox_events where status = 'failed'"))
}

// silence is a terminal at which nobody types.
type silence struct{ asked, over chan struct{} }

func (s silence) Read([]byte) (int, error) {
	close(s.asked)
	<-s.over
	return 0, io.EOF
}

func TestDeadDiscard(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.dead(t)
	r := c.runArgs(t, "dead", "discard", deadA, "--note", "test data", "--by", "ann")
	require.Zero(t, r.code, r.err)
	require.Equal(t, "Discarded 1 event.\n", r.out)
	require.Equal(t, "discarded by ann: test data", c.text(t, "select state || ' by ' || resolved_by || ': ' || note from omnibox.dead_letters where id = 1"))
	require.Equal(t, "failed", c.text(t, "select status from outbox_events where id = $1", deadA))
	r = c.run(t, "dead discard --all --yes")
	require.Zero(t, r.code, r.err)
	require.Equal(t, "Discarded 2 events.\n", r.out)
	require.Contains(t, c.run(t, "dead show 1").out, "test data")
}

func TestSeveralPipelines(t *testing.T) {
	t.Parallel()
	one := newCLI(t)
	one.dead(t)
	other := devtest.Database(t)
	c := &cli{db: one.db, config: writeConfig(t, fmt.Sprintf(`
databases: { main: { url: %q }, second: { url: %q } }
outboxes:
  orders: { claim: row, filter: { topics: [orders] } }
  returns: { claim: row, filter: { topics: [returns] } }
  billing: { database: second, table: billing_events }
`, one.db.Config().ConnString(), other))}
	require.Zero(t, c.run(t, "migrate up").code)
	r := c.run(t, "pause")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.err, "which pipeline? There are: billing, orders, returns")
	r = c.run(t, "dead show 1")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.err, "every database numbers its own dead letters")
	require.Zero(t, c.run(t, "dead show 1 -p orders").code)
	require.Zero(t, c.run(t, "dead show "+deadA).code, "ids are looked for everywhere")
	require.Equal(t, exitNothing, c.run(t, "dead list -p returns").code, "each pipeline of a shared table has its own letters")
	r = c.run(t, "dead replay "+deadA+" "+deadB)
	require.Equal(t, "Replayed 2 events.\n", r.out)
	require.Zero(t, r.code)
}
