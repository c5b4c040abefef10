package interop

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

func TestMain(m *testing.M) { devtest.Main(m) }

const (
	// envInterop asks for these tests.
	envInterop = "OMNIBOX_TEST_INTEROP"
	inboxName  = "billing"
	eventType  = "order.placed"
	// patience is how long anything may take; it decides nothing but how late a
	// test fails.
	patience = 3 * time.Minute
)

// bed is what a test has to itself: a database and a topic.
type bed struct {
	t              *testing.T
	python         string
	url            string
	topic, group   string
	db             *pgxpool.Pool
	brokers        []string
	prefix, outbox string
}

func newBed(t *testing.T) *bed {
	t.Helper()
	if os.Getenv(envInterop) == "" {
		t.Skipf("runs with make test-interop, which sets %s=1", envInterop)
	}
	python, err := servers.OmniBox(t.Context(), os.Stderr)
	if errors.Is(err, servers.ErrNoPython) {
		t.Skip(err)
	} else if err != nil {
		t.Skipf("omni-box cannot be installed: %v", err)
	}
	b := &bed{
		t: t, python: python, url: devtest.Database(t), brokers: devtest.Kafka(t).Brokers(),
		topic: "orders-" + strings.ToLower(rand.Text()[:8]),
	}
	b.prefix, b.group = "interop-"+b.topic, "billing-"+b.topic
	b.createTopic()
	b.db, err = pgxpool.New(t.Context(), b.url)
	require.NoError(t, err)
	t.Cleanup(b.db.Close)
	b.exec(`create table handled (n bigserial, message jsonb not null, payload bytea not null);
		create table python_effects (n bigserial, message_id text not null)`)
	return b
}

func (b *bed) createTopic() {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...))
	require.NoError(b.t, err)
	defer client.Close()
	req, topic := kmsg.NewPtrCreateTopicsRequest(), kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = b.topic, 3, 1
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(b.t.Context(), client)
	require.NoError(b.t, err)
	require.Zero(b.t, resp.Topics[0].ErrorCode)
}

// produce sends records as any producer may.
func (b *bed) produce(records ...*kgo.Record) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.DefaultProduceTopic(b.topic))
	require.NoError(b.t, err)
	defer client.Close()
	require.NoError(b.t, client.ProduceSync(b.t.Context(), records...).FirstErr())
}

// forgetOffsets makes the group begin again with the first message.
func (b *bed) forgetOffsets() {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...))
	require.NoError(b.t, err)
	defer client.Close()
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{b.group}
	resp, err := req.RequestWith(b.t.Context(), client)
	require.NoError(b.t, err)
	require.Zero(b.t, resp.Groups[0].ErrorCode)
}

func (b *bed) exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.db.Exec(b.t.Context(), sql, args...)
	require.NoError(b.t, err)
}

// migrate makes the inbox of the database ours, as "omnibox migrate up" does.
func (b *bed) migrate() migrate.Report {
	b.t.Helper()
	report, err := migrate.Up(b.t.Context(), b.db, migrate.Options{Inboxes: []string{migrate.DefaultInbox}})
	require.NoError(b.t, err)
	return report
}

// arguments of a command of peer.py.
type arguments map[string]any

// ask runs omni-box. Into the arguments it puts the database, the brokers and
// the group, if the command takes them.
func ask[T any](b *bed, command string, args arguments) (result T) {
	b.t.Helper()
	if args == nil {
		args = arguments{}
	}
	if command != "publish" {
		u, err := url.Parse(b.url)
		require.NoError(b.t, err)
		u.Scheme, u.RawQuery = "postgresql+asyncpg", ""
		args["url"] = u.String()
	}
	if command == "publish" || command == "consume" {
		args["brokers"], args["topic"] = strings.Join(b.brokers, ","), b.topic
	}
	if command == "consume" || command == "requeue" {
		args["group"] = b.group
	}
	in, err := json.Marshal(args)
	require.NoError(b.t, err)
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.python, "peer.py", command)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	require.NoError(b.t, err, "omni-box, %s:\n%s", command, &stderr)
	d := json.NewDecoder(bytes.NewReader(out))
	d.UseNumber()
	require.NoError(b.t, d.Decode(&result), "omni-box, %s: %s", command, out)
	return result
}

// fields of a message as both sides tell them.
type fields struct {
	MessageID     string            `json:"message_id"`
	Source        string            `json:"source"`
	Type          string            `json:"event_type"`
	SchemaVersion string            `json:"schema_version"`
	TraceID       string            `json:"trace_id"`
	CorrelationID string            `json:"correlation_id"`
	CausationID   string            `json:"causation_id"`
	Headers       map[string]string `json:"headers"`
}

// told is an event as omni-box tells it.
type told struct {
	fields
	Payload  json.RawMessage `json:"payload"`
	Status   string          `json:"status"`
	Attempts int             `json:"attempts"`
}

// byID sorts events by the ids of their messages.
func byID(events []told) map[string]told {
	out := map[string]told{}
	for _, e := range events {
		out[e.MessageID] = e
	}
	return out
}

// config is that of a worker, with an inbox that lands with so many consumers, and
// with an outbox if its converter is set.
func (b *bed) config(consumers int) *config.Config {
	b.t.Helper()
	text := fmt.Sprintf(`
databases: { main: { url: %q } }
brokers: { kafka: { addresses: [%q] } }
inboxes: { %s: { topics: [%s], group: %s, consumers: %d, shards: 1, lease: 5s, retry: { base: 1h } } }
http: { listen: "off" }
temporal: { address: %q, namespace: default, id_prefix: %s }
`, b.url, b.brokers[0], inboxName, b.topic, b.group, consumers, devtest.Temporal(b.t).Address(), b.prefix)
	if b.outbox != "" {
		text += fmt.Sprintf("outboxes: { orders: { shards: 1, converter: %s } }\n", b.outbox)
	}
	cfg, err := config.Parse("interop", []byte(text), nil)
	require.NoError(b.t, err)
	return cfg
}

// start runs a worker until the test ends or the function is called.
func (b *bed) start(cfg *config.Config, opts ...worker.Option) (stop func()) {
	b.t.Helper()
	var mu sync.Mutex
	var logs bytes.Buffer
	opts = append(opts, worker.Log(slog.New(slog.NewTextHandler(lockedWriter{&mu, &logs}, nil))))
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx, cfg, opts...) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("worker ended: %v", err)
		}
	})
	b.t.Cleanup(func() {
		stop()
		if b.t.Failed() {
			b.t.Logf("worker:\n%s", &logs)
		}
	})
	return stop
}

// lockedWriter is a log that is read once nobody writes any more.
type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// handling gives the inbox a handler for messages of the topic that are of the
// test's type, and one for all others. Both write what they get into the table
// handled, unless refuse has an error.
func (b *bed) handling(refuse func(inbox.Meta) error) worker.Option {
	write := func(ctx context.Context, tx pgx.Tx, m inbox.Meta, payload []byte) error {
		if refuse != nil {
			if err := refuse(m); err != nil {
				return err
			}
		}
		message := fields{
			MessageID: m.MessageID, Source: m.Source, Type: m.Type, SchemaVersion: m.SchemaVersion,
			TraceID: m.TraceID, CorrelationID: m.CorrelationID, CausationID: m.CausationID, Headers: m.Headers,
		}
		_, err := tx.Exec(ctx, "insert into handled (message, payload) values ($1, $2)", message, payload)
		return err
	}
	r := inbox.NewRouter()
	inbox.HandleTx(r, b.topic, eventType, "", func(ctx context.Context, tx pgx.Tx, m inbox.Message[json.RawMessage]) error {
		return write(ctx, tx, m.Meta, m.Payload)
	})
	r.FallbackTx(func(ctx context.Context, tx pgx.Tx, m inbox.Message[[]byte]) error {
		return write(ctx, tx, m.Meta, m.Payload)
	})
	return worker.Router(inboxName, r)
}

// handled is what our handler got.
type handled struct {
	fields
	Payload []byte
}

func (b *bed) awaitHandled(n int) []handled {
	b.t.Helper()
	b.await(fmt.Sprintf("%d messages handled", n), "select count(*) >= $1 from handled", n)
	rows, err := b.db.Query(b.t.Context(), "select message, payload from handled order by n")
	require.NoError(b.t, err)
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h handled, err error) {
		err = row.Scan(&h.fields, &h.Payload)
		return h, err
	})
	require.NoError(b.t, err)
	require.Len(b.t, all, n)
	return all
}

// await waits until the database says that it is so.
func (b *bed) await(what, sql string, args ...any) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		var so bool
		require.NoError(b.t, b.db.QueryRow(b.t.Context(), sql, args...).Scan(&so))
		return so
	}, patience, 50*time.Millisecond, what)
}

func (b *bed) value(sql string) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.db.QueryRow(b.t.Context(), sql).Scan(&n))
	return n
}

func (b *bed) text(sql string) (text string) {
	b.t.Helper()
	require.NoError(b.t, b.db.QueryRow(b.t.Context(), sql).Scan(&text))
	return text
}
