package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

// envCrash is the point at which a child that is an inbox's worker dies.
const envCrash = "OMNIBOX_E2E_CRASH"

// point is where a worker of an inbox dies, in the order of a message's life.
type point string

const (
	nowhere       point = "nowhere"
	beforeAll     point = "before anything"
	committing    point = "before the commit"
	committed     point = "after the commit"
	landed        point = "after the table"
	beforeHandler point = "before the handler"
	inHandler     point = "in the handler"
	afterHandler  point = "after the handler's commit"
)

// die ends the process as a crash does: nothing is deferred, told or flushed.
func (p point) die(here point) {
	if p == here {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// crashing are the options of a worker that dies at a point.
func crashing(cfg *config.Config, at point) []worker.Option {
	name := cfg.Inboxes[inboxName].Topics[0]
	r := inbox.NewRouter()
	inbox.HandleTx(r, name, "order.placed", "", func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error {
		if m.Key == "dead" {
			return omnibox.Permanent(fmt.Errorf("number %d is hopeless", m.Payload.N))
		}
		if m.Payload.N == 3 { // the one before it, of the same key, has been completed
			at.die(afterHandler)
		}
		err := invoice(ctx, tx, m)
		at.die(inHandler)
		return err
	})
	return []worker.Option{
		worker.Router(inboxName, r),
		worker.Step(inboxName, &step{run: func(context.Context, *omnibox.Event, int) error {
			at.die(beforeHandler)
			return nil
		}}),
		worker.Consumer("kafka", func(sub broker.Subscription) (broker.Consumer, error) {
			c, err := kafka.NewConsumer(cfg.Brokers["kafka"].Kafka(), sub, slog.Default())
			return &mortal{Consumer: c, at: at}, err
		}),
	}
}

// mortal is a consumer whose process dies at a point.
type mortal struct {
	broker.Consumer
	at point
}

func (m *mortal) Run(ctx context.Context, handle func(context.Context, []broker.Message) error) error {
	return m.Consumer.Run(ctx, func(ctx context.Context, poll []broker.Message) error {
		m.at.die(beforeAll)
		err := handle(ctx, poll)
		m.at.die(landed)
		return err
	})
}

func (m *mortal) Commit(ctx context.Context, done map[broker.Partition]int64) error {
	m.at.die(committing)
	err := m.Consumer.Commit(ctx, done)
	m.at.die(committed)
	return err
}

// What docs/inbox.md says of a crash at every point, for each strategy. A worker
// dies by SIGKILL at the point; what is then in Kafka and in the database is looked
// at, and another worker goes on.
func TestAWorkerDiesAtEveryPoint(t *testing.T) {
	t.Parallel()
	const atMostOnce, onPersist, onSuccess, exactlyOnce = config.AckAtMostOnce, config.AckOnPersist, config.AckOnSuccess, config.AckExactlyOnce
	const failed = "on-success, commit_on_failed: true"
	type then struct{ committed, rows, effects int } // when it has died
	for _, tt := range []struct {
		ack   string
		at    point
		first string // key of the first message of four; of the others it is a
		then  then
		lost  int // of the first three messages
		end   int // what is committed at last
	}{
		{atMostOnce, beforeAll, "a", then{0, 0, 0}, 0, 4},
		{atMostOnce, committing, "a", then{0, 0, 0}, 0, 4},
		{atMostOnce, committed, "a", then{3, 0, 0}, 3, 4},
		{atMostOnce, beforeHandler, "a", then{3, 3, 0}, 0, 4},
		{atMostOnce, inHandler, "a", then{3, 3, 0}, 0, 4},
		{atMostOnce, afterHandler, "a", then{3, 3, 2}, 0, 4},
		{onPersist, beforeAll, "a", then{0, 0, 0}, 0, 4},
		{onPersist, committing, "a", then{0, 3, -1}, 0, 4},
		{onPersist, committed, "a", then{3, 3, -1}, 0, 4},
		{onPersist, beforeHandler, "a", then{-1, 3, 0}, 0, 4},
		{onPersist, inHandler, "a", then{-1, 3, 0}, 0, 4},
		{onPersist, afterHandler, "a", then{-1, 3, 2}, 0, 4},
		{onSuccess, beforeAll, "a", then{0, 0, 0}, 0, 4},
		{onSuccess, landed, "a", then{0, 3, -1}, 0, 4},
		{onSuccess, beforeHandler, "a", then{0, 3, 0}, 0, 4},
		{onSuccess, inHandler, "a", then{0, 3, 0}, 0, 4},
		{onSuccess, afterHandler, "a", then{-1, 3, 2}, 0, 4},
		{onSuccess, committing, "a", then{0, 3, -1}, 0, 4},
		{onSuccess, committed, "a", then{-1, 3, -1}, 0, 4},
		{onSuccess, afterHandler, "dead", then{0, 3, 1}, 0, 0},
		{exactlyOnce, inHandler, "a", then{0, 3, 0}, 0, 4},
		{exactlyOnce, committing, "a", then{0, 3, -1}, 0, 4},
		{failed, afterHandler, "dead", then{-1, 3, 1}, 0, 4},
		{failed, committing, "dead", then{0, 3, -1}, 0, 4},
		{failed, committed, "dead", then{-1, 3, -1}, 0, 4},
	} {
		t.Run(fmt.Sprintf("%s, %s, first of key %s", tt.ack, tt.at, tt.first), func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, tt.ack)
			c.publish(tt.first, 1)
			c.publish("a", 2)
			c.publish("a", 3)

			died := c.start(tt.at)
			eventually(t, "the worker dead", func() bool { return !died.Running() })
			for _, seen := range []struct {
				what      string
				want, got int
			}{
				{"committed offset", tt.then.committed, c.committed()},
				{"rows", tt.then.rows, ask[int](c.bed, "select count(*) from inbox_events")},
				{"effects", tt.then.effects, len(c.effects())},
			} {
				if seen.want >= 0 { // else it depends on who was faster
					require.Equal(t, seen.want, seen.got, seen.what)
				}
			}

			c.publish("a", 4)
			c.start(nowhere)
			var want []string
			for n := 1 + tt.lost; n <= 4; n++ {
				if n > 1 || tt.first == "a" {
					want = append(want, fmt.Sprintf("a/%d", n))
				}
			}
			require.Equal(t, want, c.awaitEffects(len(want)), "each once, in order")
			eventually(t, fmt.Sprintf("%d committed", tt.end), func() bool { return c.committed() == tt.end })
			require.Equal(t, want, c.effects(), "none twice")
			letters := 0
			if tt.first == "dead" {
				letters = 1
			}
			require.Equal(t, letters, ask[int](c.bed, "select count(*) from omnibox.dead_letters"))
		})
	}
}

// crash is an inbox whose workers die.
type crash struct {
	*bed
	topic string
	file  string
	kafka *kgo.Client
}

func newCrash(t *testing.T, ack string) *crash {
	t.Helper()
	b := newBed(t)
	b.keepEffects()
	client, err := kgo.NewClient(kgo.SeedBrokers(devtest.Brokers(t)...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	c := &crash{bed: b, topic: newTopic(t), file: filepath.Join(t.TempDir(), "omnibox.yaml"), kafka: client}
	require.NoError(t, os.WriteFile(c.file, fmt.Appendf(nil, `
databases: { main: { url: %q } }
brokers: { kafka: { addresses: [%q] } }
inboxes: { billing: { topics: [%s], group: %s, shards: 1, lease: 5s, lane: batch, ack: %s } }
temporal: { address: %q, namespace: default, id_prefix: %q }
http: { listen: "off" }
`, b.url, devtest.Brokers(t)[0], c.topic, c.topic, ack, devtest.Temporal(t).Address(), b.prefix), 0o600))
	return c
}

func (c *crash) publish(key string, n int) {
	c.t.Helper()
	require.NoError(c.t, c.kafka.ProduceSync(c.t.Context(), &kgo.Record{
		Topic: c.topic, Key: []byte(key), Value: fmt.Appendf(nil, `{"n":%d}`, n),
		Headers: []kgo.RecordHeader{{Key: "event_id", Value: []byte(uuid.NewString())}, {Key: "event_type", Value: []byte("order.placed")}},
	}).FirstErr())
}

// start starts a worker in a process of its own.
func (c *crash) start(at point) *servers.Process {
	c.t.Helper()
	child, err := servers.StartProgram(c.t.Context(), servers.ProgramOptions{
		Name: "worker", Dir: c.t.TempDir(),
		Command: func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), envChild+"="+c.file, envCrash+"="+string(at))
			return cmd
		},
	})
	require.NoError(c.t, err)
	c.t.Cleanup(func() { require.NoError(c.t, child.Close()) })
	return child
}

// committed is the group's offset, 0 if there is none.
func (c *crash) committed() int {
	c.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = c.topic
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = c.topic
	req.Groups = append(req.Groups, group)
	resp, err := req.RequestWith(c.t.Context(), c.kafka)
	require.NoError(c.t, err)
	for _, g := range resp.Groups {
		for _, topic := range g.Topics {
			for _, p := range topic.Partitions {
				return max(0, int(p.Offset))
			}
		}
	}
	return 0
}
