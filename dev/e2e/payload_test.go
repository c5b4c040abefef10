package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

// No part of a payload is in a history, a memo, an attribute, a heartbeat, a failure,
// a log or an error, even if a step puts it into its error on purpose; and a payload
// as large as may be is delivered.
//
// trap: T3
func TestPayloadsStayInTheTableAndTheTopic(t *testing.T) {
	t.Parallel()
	for _, lane := range []string{"batch", "auto", "workflow"} {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			payloadsStay(t, lane)
		})
	}
}

func payloadsStay(t *testing.T, lane string) {
	t.Helper()
	b := newBed(t)
	namespace := devtest.Namespace(t)
	b.change = func(cfg *config.Config) { cfg.Temporal.Namespace = namespace }
	b.inLane(lane)
	kafkaTopic := newTopic(t)
	secret := "secret-" + rand.Text()
	publisher, err := kafka.Dial(kafka.Config{Addresses: devtest.Brokers(t)}, discard)
	require.NoError(t, err)
	leaky := &step{run: func(_ context.Context, e *omnibox.Event, n int) error { return leak(e, n) }}
	w := b.start(withStep(leaky), worker.Publisher("kafka", publisher)).awaitReady()

	watched := b.watch(namespace, b.poller(0), b.poller(1))
	events := []omnibox.Event{}
	for n := 1; n <= leaks; n++ {
		e := event(fmt.Sprintf("leak%d", n), n)
		e.Payload, e.MaxAttempts = map[string]any{"n": n, "name": secret, "more": map[string]string{"again": secret}}, 3
		events = append(events, e)
	}
	large := event("large", 100)
	large.Payload = map[string]any{"n": 100, "name": secret, "fill": strings.Repeat(secret, 900_000/len(secret))}
	events = append(events, large)
	for i := range events {
		events[i].Topic = kafkaTopic
	}
	b.enqueue(events...)
	require.Equal(t, []string{"large/100"}, readTopic(t, kafkaTopic, 1))
	b.awaitSettled()
	require.Equal(t, leaks, ask[int](b, "select count(*) from omnibox.dead_letters"))
	described := watched()
	w.stop()
	b.requireNowhere(secret, "outbox_events", map[string][]byte{
		"log": []byte(w.logs.String()), "descriptions": described, "the namespace": histories(t, b.temporal(), namespace),
	})
}

// watch looks at what Temporal shows until it is asked what that was.
func (b *bed) watch(namespace string, pollers ...string) (stop func() []byte) {
	ctx, cancel := context.WithCancel(b.t.Context())
	seen := make(chan []byte)
	c := b.temporal()
	go func() { seen <- describeAll(ctx, c, namespace, pollers) }()
	return func() []byte {
		cancel()
		return <-seen
	}
}

// requireNowhere looks for a secret in the places given and in those of the
// database, but for the payloads of the table.
func (b *bed) requireNowhere(secret, table string, places map[string][]byte) {
	b.t.Helper()
	places["last_error"] = []byte(ask[string](b, "select coalesce(string_agg(last_error, e'\n'), '') from "+table))
	places["dead letters"] = []byte(ask[string](b, "select string_agg(d::text, e'\n') from omnibox.dead_letters d"))
	for place, text := range places {
		b.t.Logf("%s: %d bytes", place, len(text))
		require.NotEmpty(b.t, text, place)
		for _, form := range formsOf(secret) {
			found := bytes.Contains(text, []byte(form)) // the text itself is too long to be shown
			require.False(b.t, found, "%s: has the payload as %s", place, form)
		}
	}
	require.Contains(b.t, string(places["the namespace"]), b.prefix)
	require.Contains(b.t, string(places["descriptions"]), b.prefix)
	holds := []byte(ask[string](b, "select coalesce(string_agg(h::text, e'\n'), '') from omnibox.holds h"))
	require.NotContains(b.t, string(holds), secret)
}

// leaks is how many ways there are to put a payload into an error.
const leaks = 8

func leak(e *omnibox.Event, n int) error {
	raw, _ := e.Payload.(json.RawMessage)
	var body struct{ Name string }
	_ = json.Unmarshal(raw, &body)
	switch n {
	case 1:
		return fmt.Errorf("bad payload: %s", raw)
	case 2:
		return fmt.Errorf("bad payload: %q", raw)
	case 3:
		return errors.New("bad payload: " + base64.StdEncoding.EncodeToString(raw))
	case 4:
		return errors.New("bad name: " + body.Name)
	case 5:
		return errors.New("bad payload: " + hex.EncodeToString(raw))
	case 6:
		return fmt.Errorf("bad event: %+v", e)
	case 7:
		return omnibox.Permanent(fmt.Errorf("bad name: %q in %s", base64.URLEncoding.EncodeToString([]byte(body.Name)), raw[:len(raw)/2]))
	case 8:
		panic(fmt.Sprintf("bad payload: %s", raw))
	}
	return nil
}

// formsOf is a secret as it may be found: as it is, in hex, and in base64 wherever
// in a longer text it stood.
func formsOf(secret string) []string {
	forms := []string{secret, hex.EncodeToString([]byte(secret))}
	for skip := range 3 {
		part := secret[skip:]
		part = part[:len(part)/3*3]
		forms = append(forms, base64.RawStdEncoding.EncodeToString([]byte(part)), base64.RawURLEncoding.EncodeToString([]byte(part)))
	}
	return forms
}

// describeAll asks again and again what Temporal shows of the workflows that run:
// pending activities, their failures and heartbeats, memo, attributes and details.
func describeAll(ctx context.Context, c client.Client, namespace string, pollers []string) []byte {
	var all bytes.Buffer
	for ctx.Err() == nil {
		ids := slices.Clone(pollers)
		if open, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: namespace, Query: `ExecutionStatus = "Running" and WorkflowType = "omnibox.Event"`,
		}); err == nil {
			for _, e := range open.GetExecutions() {
				ids = append(ids, e.GetExecution().GetWorkflowId())
			}
		}
		for _, id := range ids {
			if found, err := c.DescribeWorkflowExecution(ctx, id, ""); err == nil {
				all.Write(plain(found))
			}
			if metadata, err := c.QueryWorkflow(ctx, id, "", "__temporal_workflow_metadata"); err == nil {
				var text json.RawMessage
				_ = metadata.Get(&text)
				all.Write(text)
			}
		}
	}
	return all.Bytes()
}

// histories is every event of every workflow of a namespace, with its memo and
// attributes.
func histories(t *testing.T, c client.Client, namespace string) []byte {
	t.Helper()
	var all bytes.Buffer
	var found *workflowservice.ListWorkflowExecutionsResponse
	eventually(t, "workflows are listed", func() bool {
		var err error
		found, err = c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Namespace: namespace})
		return err == nil && len(found.GetExecutions()) >= 2
	})
	all.Write(plain(found))
	for _, info := range found.GetExecutions() {
		run := info.GetExecution()
		events := c.GetWorkflowHistory(t.Context(), run.GetWorkflowId(), run.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(t, err)
			all.Write(plain(event))
		}
	}
	return all.Bytes()
}

// plain is a message as it is on the wire, in which payloads are not encoded again.
func plain(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		return []byte(err.Error())
	}
	return b
}
