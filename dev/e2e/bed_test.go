package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/membroker"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(envChild); file != "" {
		os.Exit(runChild(file))
	}
	devtest.Main(m)
}

const (
	pipelineName = "orders"
	topic        = "orders"
	// patience is how long anything may take; it decides nothing but how late a
	// test fails.
	patience = 3 * time.Minute
)

var discard = slog.New(slog.DiscardHandler)

// bed is what a test has to itself: a database, a configuration, a broker in
// memory, and workflow ids.
type bed struct {
	t      *testing.T
	url    string
	db     *pgxpool.Pool
	broker *membroker.Broker
	prefix string
	// change the configuration of every worker
	change func(*config.Config)
}

func newBed(t *testing.T) *bed {
	t.Helper()
	template := devtest.Template(t, "e2e", func(ctx context.Context, url string) error {
		db, err := pgxpool.New(ctx, url)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = migrate.Up(ctx, db, migrate.Options{Tables: []string{migrate.DefaultTable}, Inboxes: []string{migrate.DefaultInbox}})
		return err
	})
	b := newBedOn(t, devtest.DatabaseFrom(t, template))
	// a copied database says that it is the one it was copied from
	_, err := b.db.Exec(t.Context(), "update omnibox.identity set id = gen_random_uuid()")
	require.NoError(t, err)
	return b
}

func newBedOn(t *testing.T, url string) *bed {
	t.Helper()
	db, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return &bed{
		t: t, url: url, db: db, broker: membroker.New(), prefix: "e2e-" + strings.ToLower(rand.Text()[:12]),
		change: func(*config.Config) {},
	}
}

// config is that of a worker. Backoffs are short, so that tests are.
func (b *bed) config() *config.Config {
	b.t.Helper()
	cfg, err := config.Parse("", []byte(`
outboxes:
  orders: { shards: 2, retry: { base: 100ms, max: 1s } }
http: { listen: "off" }
shutdown: { grace: 10s }
`), []string{"OMNIBOX_DATABASE_URL=" + b.url, "OMNIBOX_KAFKA_BROKERS=127.0.0.1:1"})
	require.NoError(b.t, err)
	cfg.Temporal.Address, cfg.Temporal.Namespace, cfg.Temporal.IDPrefix = devtest.Temporal(b.t).Address(), "default", b.prefix
	b.change(cfg)
	return cfg
}

// outbox changes the configuration of the pipeline.
func (b *bed) outbox(change func(*config.Outbox)) {
	before := b.change
	b.change = func(cfg *config.Config) {
		before(cfg)
		o := cfg.Outboxes[pipelineName]
		change(&o)
		cfg.Outboxes[pipelineName] = o
	}
}

// running is a worker at work.
type running struct {
	*worker.Worker
	t    *testing.T
	logs *lines
	stop func() // and wait
	http string // address of health and metrics, if any
}

// start starts a worker. It publishes to the bed's broker, unless an option says
// otherwise, and stops with the test.
func (b *bed) start(opts ...worker.Option) *running {
	b.t.Helper()
	return b.startWith(b.config(), opts...)
}

func (b *bed) startWith(cfg *config.Config, opts ...worker.Option) *running {
	b.t.Helper()
	r := &running{t: b.t, logs: &lines{}, http: cfg.HTTP.Listen}
	opts = append([]worker.Option{
		worker.Log(slog.New(slog.NewTextHandler(r.logs, nil))), worker.Publisher("kafka", shared{b.broker}),
	}, opts...)
	w, err := worker.New(cfg, opts...)
	require.NoError(b.t, err)
	r.Worker = w
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("worker ended: %v", err)
		}
	})
	b.t.Cleanup(func() {
		r.stop()
		if b.t.Failed() {
			b.t.Logf("worker:\n%s", r.logs)
		}
	})
	return r
}

// shared is a broker that several workers have: none of them closes it.
type shared struct{ broker.Publisher }

func (shared) Close() error { return nil }

func (r *running) awaitReady() *running {
	r.t.Helper()
	eventually(r.t, "ready", r.Ready)
	return r
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// event is a valid event of a key; n is in its payload.
func event(key string, n int) omnibox.Event {
	return omnibox.Event{
		Topic: topic, Key: key, Type: "order.placed", Payload: map[string]int{"n": n},
		Aggregate: omnibox.Aggregate{Type: "order", ID: uuid.New()},
	}
}

// enqueue commits events.
func (b *bed) enqueue(events ...omnibox.Event) {
	b.t.Helper()
	require.NoError(b.t, pgx.BeginFunc(b.t.Context(), b.db, func(tx pgx.Tx) error {
		_, err := store.Outbox{}.Enqueue(b.t.Context(), tx, events...)
		return err
	}))
}

// awaitRecords waits until the topic has n records, and gives all as "key/n".
func (b *bed) awaitRecords(n int) []string {
	b.t.Helper()
	ctx, cancel := context.WithTimeoutCause(b.t.Context(), patience, fmt.Errorf("have %v", b.records()))
	defer cancel()
	err := b.broker.Wait(ctx, topic, n)
	require.NoError(b.t, err, "records: %v", b.records())
	return b.records()
}

func (b *bed) records() (all []string) {
	for _, r := range b.broker.Records(topic) {
		all = append(all, name(r))
	}
	return all
}

func name(r broker.Record) string {
	var body struct{ N int }
	_ = json.Unmarshal(r.Value, &body) // then it is 0
	return fmt.Sprintf("%s/%d", r.Key, body.N)
}

// only gives the records of a key.
func only(key string, records []string) (some []string) {
	for _, r := range records {
		if strings.HasPrefix(r, key+"/") {
			some = append(some, r)
		}
	}
	return some
}

// series is "key/from" to "key/to".
func series(key string, from, to int) (all []string) {
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprintf("%s/%d", key, n))
	}
	return all
}

// ask reads one value from the database.
func ask[T any](b *bed, sql string, args ...any) (value T) {
	b.t.Helper()
	require.NoError(b.t, b.db.QueryRow(b.t.Context(), sql, args...).Scan(&value))
	return value
}

// awaitSettled waits until no row is pending.
func (b *bed) awaitSettled() {
	b.t.Helper()
	eventually(b.t, "nothing pending", func() bool {
		return ask[int](b, "select count(*) from outbox_events where status = 'pending'") == 0
	})
}

// untouched requires that no attempt of any row was counted and none is dead.
func (b *bed) untouched() {
	b.t.Helper()
	require.Zero(b.t, ask[int](b, "select count(*) from outbox_events where attempts_made > 0"), "attempts were counted")
	require.Zero(b.t, ask[int](b, "select count(*) from omnibox.dead_letters"), "there are dead letters")
}

// store is the pipeline's, for what people do to it.
func (b *bed) store() *store.Store {
	b.t.Helper()
	o := b.config().Outboxes[pipelineName]
	s, err := store.Open(b.t.Context(), b.db, store.Config{
		Pipeline: pipelineName, Owner: "test", Claim: o.Claim, Lease: o.Lease, BehindFailure: o.BehindFailure,
	})
	require.NoError(b.t, err)
	return s
}

// temporal is a client of the server that the workers use.
func (b *bed) temporal() client.Client {
	b.t.Helper()
	cfg := b.config().Temporal
	c, err := client.DialContext(b.t.Context(), client.Options{
		HostPort: cfg.Address, Namespace: cfg.Namespace, Logger: log.NewStructuredLogger(discard),
	})
	require.NoError(b.t, err)
	b.t.Cleanup(c.Close)
	return c
}

func (b *bed) poller(shard int) string { return workflows.PollerID(b.prefix, pipelineName, shard) }

// eventually polls a condition until it holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 20*time.Millisecond, what)
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// readiness is what /readyz says.
type readiness struct {
	Ready                     bool
	Phase, Error, Destination string
}

func (r *running) readyz() (code int, of readiness) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.http+"/readyz", nil)
	require.NoError(r.t, err)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	all := map[string]readiness{}
	require.NoError(r.t, json.NewDecoder(resp.Body).Decode(&all))
	return resp.StatusCode, all[pipelineName]
}

// awaitError waits until /readyz tells of an error with this text.
func (r *running) awaitError(text string) (code int, of readiness) {
	r.t.Helper()
	eventually(r.t, "an error with "+text, func() bool {
		code, of = r.readyz()
		return strings.Contains(of.Error, text)
	})
	require.NotContains(r.t, of.Error, "goroutine ", "no stack trace")
	return code, of
}
