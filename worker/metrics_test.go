package worker_test

import (
	"context"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

// metricName is what the documentation and its expressions call ours.
var metricName = regexp.MustCompile(`omnibox_[a-z_]+`)

// Every metric is documented, every documented one exists, and two workers
// report the same of a table.
//
// trap: 40
func TestMetricsAreThoseOfTheDocumentation(t *testing.T) {
	t.Parallel()
	url := devtest.Database(t)
	fill(t, url)
	first, second := scrape(t, url), scrape(t, url)
	require.Equal(t, first["omnibox_backlog_events"], second["omnibox_backlog_events"])
	require.Contains(t, first["omnibox_backlog_events"], `omnibox_backlog_events{pipeline="outbox"} 3`)
	require.Contains(t, first["omnibox_dead_letters"], `class="permanent"`)
	require.Contains(t, first["omnibox_consumer_lag_messages"], `topic="orders"} 3`)

	docs, err := os.ReadFile("../docs/metrics.md")
	require.NoError(t, err)
	documented := map[string]bool{}
	for _, name := range metricName.FindAllString(string(docs), -1) {
		documented[name] = true
	}
	require.Equal(t, slices.Sorted(maps.Keys(first)), slices.Sorted(maps.Keys(documented)))
}

// fill writes events of which some are due, one is held, and one is dead.
func fill(t *testing.T, url string) {
	t.Helper()
	db, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	defer db.Close()
	_, err = migrate.Up(t.Context(), db, migrate.Options{Tables: []string{migrate.DefaultTable}, Inboxes: []string{migrate.DefaultInbox}})
	require.NoError(t, err)
	require.NoError(t, pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
		for range 5 {
			_, err := store.Outbox{}.Enqueue(t.Context(), tx, omnibox.Event{
				Topic: "orders", Key: uuid.NewString(), Type: "order.placed", Payload: map[string]int{"n": 1},
				Aggregate: omnibox.Aggregate{Type: "order", ID: uuid.New()},
			})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	s, err := store.Open(t.Context(), db, store.Config{Owner: "test"})
	require.NoError(t, err)
	slots := make([]int, omnibox.Slots)
	for i := range slots {
		slots[i] = i
	}
	claim, err := s.Claim(t.Context(), slots)
	require.NoError(t, err)
	events, _, err := claim.Fetch(t.Context(), 2)
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), []omnibox.Outcome{
		{Event: &events[0], Verdict: omnibox.Dead, Class: omnibox.ClassPermanent, Error: "no", Attempts: 1, Counted: true},
		{Event: &events[1], Verdict: omnibox.Retry, Class: omnibox.ClassTransient, Error: "not now", Attempts: 1, Counted: true, Delay: time.Hour},
	}))
	require.NoError(t, claim.Release(t.Context()))
	in, err := store.Open(t.Context(), db, store.Config{Owner: "test", Pipeline: "inbox", Group: "billing"})
	require.NoError(t, err)
	require.NoError(t, in.ReportConsumer(t.Context(), "test/1", []store.ConsumerPartition{{Topic: "orders", Position: 1, HighWater: 4}}))
}

// scrape runs a worker that finds its table, and nothing else, and reads its
// metrics by name.
func scrape(t *testing.T, url string) map[string]string {
	t.Helper()
	address := freeAddress(t)
	cfg, err := config.Parse("", nil, []string{
		"OMNIBOX_DATABASE_URL=" + url, "OMNIBOX_KAFKA_BROKERS=127.0.0.1:1",
		"OMNIBOX_TEMPORAL_ADDRESS=127.0.0.1:1", "OMNIBOX_HTTP_LISTEN=" + address, "OMNIBOX_OUTBOXES_OUTBOX_SHARDS=4",
		"OMNIBOX_INBOXES_INBOX_TOPICS=orders", "OMNIBOX_INBOXES_INBOX_GROUP=billing", "OMNIBOX_INBOXES_INBOX_HANDLER_SQL=select $1::jsonb",
	})
	require.NoError(t, err)
	w, err := worker.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	defer func() { cancel(); require.NoError(t, <-done) }()

	var text string
	require.Eventually(t, func() bool {
		_, text = get(t, "http://"+address+"/metrics")
		return strings.Contains(text, `omnibox_backlog_events{pipeline="outbox"}`) && strings.Contains(text, "omnibox_consumer_lag_messages{")
	}, time.Minute, 50*time.Millisecond)
	found := map[string]string{}
	for line := range strings.Lines(text) {
		if name := metricName.FindString(line); name != "" && !strings.HasPrefix(line, "#") {
			name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
			found[name] += line
		}
	}
	return found
}
