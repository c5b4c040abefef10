package e2e

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

// listening lets the bed's workers answer on an address of their own.
func (b *bed) listening() *bed {
	before := b.change
	b.change = func(cfg *config.Config) {
		before(cfg)
		cfg.HTTP.Listen = freeAddress(b.t)
	}
	return b
}

// recovers requires that a worker that was not ready becomes so by itself, and
// delivers.
func (b *bed) recovers(w *running) {
	b.t.Helper()
	w.awaitReady()
	code, ready := w.readyz()
	require.Equal(b.t, http.StatusOK, code)
	require.Equal(b.t, readiness{Ready: true, Phase: "running"}, ready)
	b.enqueue(event("k", 1))
	require.Equal(b.t, []string{"k/1"}, b.awaitRecords(1))
}

// A worker whose settings would break the order that others keep does not work, and
// says which they are.
//
// trap: T12
func TestAWorkerWithContradictorySettingsDoesNotPoll(t *testing.T) {
	t.Parallel()
	b := newBed(t).listening()
	first := b.start().awaitReady()
	b.outbox(func(o *config.Outbox) { o.BehindFailure = "skip"; o.Lease = time.Minute })
	second := b.start()
	code, ready := second.awaitError("settings of orders differ")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, ready.Error, "behind_failure is block there and skip here")
	require.Contains(t, ready.Error, "lease is 15s there and 1m0s here")
	require.Contains(t, second.logs.String(), "settings of orders differ")

	first.stop()
	b.enqueue(event("k", 0))
	b.nothingComes(0)
	require.False(t, second.Ready())
	s := b.store()
	settings := s.Settings()
	_, err := s.ApplySettings(t.Context(), settings)
	require.NoError(t, err)
	second.awaitReady()
	require.Equal(t, []string{"k/0"}, b.awaitRecords(1))

	settings.Ordering = "none" // under a worker that runs
	_, err = s.ApplySettings(t.Context(), settings)
	require.NoError(t, err)
	second.awaitError("ordering is none there and key here")
	b.enqueue(event("k", 1))
	b.nothingComes(1)
}

func TestAWorkerWaitsForItsTable(t *testing.T) {
	t.Parallel()
	b := newBedOn(t, devtest.Database(t)).listening()
	w := b.start()
	code, _ := w.awaitError("omnibox migrate up")
	require.Equal(t, http.StatusServiceUnavailable, code)
	_, err := migrate.Up(t.Context(), b.db, migrate.Options{})
	require.NoError(t, err)
	b.recovers(w)
}

func TestAWorkerWaitsForTheRightSchema(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, spoil, mend, text string }{
		{
			"newer", "insert into omnibox.version_core (version_id, is_applied) values (99, true)",
			"delete from omnibox.version_core where version_id = 99", "upgrade the binary",
		},
		{
			"older", "create table spare as select * from omnibox.version_core; delete from omnibox.version_core where version_id > 1",
			"delete from omnibox.version_core; insert into omnibox.version_core overriding system value select * from spare", "run `omnibox migrate up`",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t).listening()
			_, err := b.db.Exec(t.Context(), c.spoil)
			require.NoError(t, err)
			w := b.start()
			w.awaitError(c.text)
			require.Zero(t, ask[int](b, "select count(*) from omnibox.pipelines"), "it has written nothing")
			_, err = b.db.Exec(t.Context(), c.mend)
			require.NoError(t, err)
			b.recovers(w)
		})
	}
}

func TestAWorkerWaitsForPostgres(t *testing.T) {
	t.Parallel()
	b := newBed(t).listening()
	u, err := url.Parse(b.url)
	require.NoError(t, err)
	proxy := devtest.StartProxy(t, servers.ProxyOptions{Upstream: u.Host})
	proxy.Cut()
	cfg := b.config()
	u.Host = proxy.Address()
	cfg.Databases["main"] = config.Database{URL: config.Secret(u.String())}
	w := b.startWith(cfg)
	_, ready := w.awaitError("connect")
	require.Equal(t, "opening the table", ready.Phase)
	require.NoError(t, proxy.Restore())
	b.recovers(w)
}

func TestAWorkerWaitsForTemporal(t *testing.T) {
	t.Parallel()
	b := newBed(t).listening()
	proxy := devtest.StartProxy(t, servers.ProxyOptions{Upstream: devtest.Temporal(t).Address()})
	proxy.Cut()
	cfg := b.config()
	cfg.Temporal.Address = proxy.Address()
	w := b.startWith(cfg)
	_, ready := w.awaitError("connect")
	require.Equal(t, "starting with Temporal", ready.Phase)
	require.NoError(t, proxy.Restore())
	b.recovers(w)
}

func TestAWorkerWaitsForItsNamespace(t *testing.T) {
	t.Parallel()
	b := newBed(t).listening()
	c := b.temporal()
	namespace := b.prefix
	cfg := b.config()
	cfg.Temporal.Namespace = namespace
	w := b.startWith(cfg)
	w.awaitError(namespace)
	_, err := c.WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	require.NoError(t, err)
	b.recovers(w)
}

// A broker that is down does not make a worker unready: no other could do better.
func TestAWorkerWaitsForItsBroker(t *testing.T) {
	t.Parallel()
	b := newBed(t).listening()
	address := freeAddress(t)
	publisher, err := kafka.Dial(kafka.Config{Addresses: []string{address}}, discard)
	require.NoError(t, err)
	b.outbox(func(o *config.Outbox) { o.Lease = 5 * time.Second })
	w := b.start(worker.Publisher("kafka", publisher)).awaitReady()
	b.enqueue(event("k", 1))
	eventually(t, "destination unreachable", func() bool {
		_, ready := w.readyz()
		return ready.Destination != ""
	})
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	cluster := devtest.StartKfake(t, servers.KfakeOptions{Ports: []int{number}, Topics: map[string]int32{topic: 1}})
	b.awaitSettled()
	require.Equal(t, []string{"k/1"}, firsts(readFrom(t, topic, 1, cluster.Brokers()...)))
	b.untouched()
	w.stop() // before the cluster does
}

// An event for a topic that does not exist says how to mend it, is tried again, and
// keeps nobody else waiting.
func TestAnEventWaitsForItsTopic(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	publisher, err := kafka.Dial(kafka.Config{Addresses: devtest.Brokers(t)}, discard)
	require.NoError(t, err)
	w := b.start(worker.Publisher("kafka", publisher))
	there, missing := newTopic(t), b.prefix
	lost, good := event("k", 1), event("k", 2)
	lost.Topic, lost.MaxAttempts, good.Topic = missing, 1000, there
	b.enqueue(lost, good)
	require.Equal(t, []string{"k/2"}, readTopic(t, there, 1))
	eventually(t, "an error that helps", func() bool {
		return ask[int](b, "select count(*) from outbox_events where last_error like '%does not exist: create it%'") == 1
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(devtest.Brokers(t)...))
	require.NoError(t, err)
	defer client.Close()
	createTopic(t, client, missing)
	require.Equal(t, []string{"k/1"}, readTopic(t, missing, 1))
	b.awaitSettled()
	w.stop()
}

// Another relay's leases on the table are not seen by claim: shard.
func TestAWorkerRefusesATableThatAnotherProgramRelays(t *testing.T) {
	t.Parallel()
	b := newBed(t).listening()
	b.enqueue(event("k", 1))
	_, err := b.db.Exec(t.Context(), "update outbox_events set locked_by = 'omni-box', locked_at = now()")
	require.NoError(t, err)
	w := b.start()
	_, ready := w.awaitError("another relay works on this table")
	require.Contains(t, ready.Error, "claim: row")
	require.NoError(t, pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "update outbox_events set locked_by = null, locked_at = null")
		return err
	}))
	w.awaitReady()
	require.Equal(t, []string{"k/1"}, b.awaitRecords(1))
}
