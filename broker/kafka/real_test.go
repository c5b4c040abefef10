package kafka_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/brokertest"
	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
)

// A real Kafka behind a proxy that can be cut, and killed: its tests run one
// after the other.
func TestRealKafka(t *testing.T) { //nolint:tparallel // its tests break the broker that they share
	t.Parallel()
	if testing.Short() {
		t.Skip("a real Kafka takes seconds to start")
	}
	inside, err := servers.FreePort()
	require.NoError(t, err)
	proxy := devtest.StartProxy(t, servers.ProxyOptions{Upstream: fmt.Sprint("127.0.0.1:", inside)})
	tls, certificate := tlsListener(t)
	k := devtest.StartKafka(t, servers.KafkaOptions{
		Port: inside, AdvertisedPort: port(t, proxy.Address()),
		Listeners:  []servers.KafkaListener{servers.SASLListener("alice", "secret"), tls},
		ScramUsers: map[string]string{"alice": "secret"},
	})
	// Tests read past the proxy; what they read is led by the same broker.
	r := &rig{Kafka: k, proxy: proxy, addr: proxy.Address()}
	t.Run("KeepsThePromisesOfAPublisher", r.keepsThePromises)
	t.Run("TopicWithASmallLimit", r.topicWithASmallLimit)
	t.Run("KeepsThePromisesOfAConsumer", r.keepsThePromisesOfAConsumer)
	t.Run("ConsumerOfAFrozenBroker", r.consumerOfAFrozenBroker)
	t.Run("ConsumersOfAKilledBroker", r.consumersOfAKilledBroker)
	t.Run("SASL", r.sasl)
	t.Run("TLS", func(t *testing.T) { r.tls(t, certificate) })
	t.Run("ConsumerWithSASL", r.consumerWithSASL)
	t.Run("ConsumerWithTLS", func(t *testing.T) { r.consumerWithTLS(t, certificate) })
	t.Run("CutAtRandom", r.cutAtRandom)
	t.Run("Frozen", r.frozen)
	t.Run("KilledUnderLoad", r.killedUnderLoad)
}

type rig struct {
	*servers.Kafka
	proxy *servers.Proxy
	addr  string
	turn  sync.Mutex
}

// keepsThePromises runs the suite, one test at a time, since each may break
// the proxy.
func (r *rig) keepsThePromises(t *testing.T) {
	brokertest.Run(t, func(t *testing.T) brokertest.Features {
		t.Helper()
		r.turn.Lock()
		t.Cleanup(r.turn.Unlock)
		topic := createTopic(t, 3, limit("20000"), r.addr)
		p, err := kafka.Dial(kafka.Config{Addresses: []string{r.addr}, Compression: "gzip"}, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		return brokertest.Features{
			Publisher: p, Topic: topic,
			Read: func(t *testing.T) []broker.Record { t.Helper(); return read(t, topic, r.addr) },
			// With compression only the broker can tell that it is too large.
			Refused: func(key string) broker.Record { return record(topic, key, noise(40_000)) },
			SetDown: func(t *testing.T, down bool) {
				t.Helper()
				if down {
					r.proxy.Cut()
					return
				}
				require.NoError(t, r.proxy.Restore())
			},
			SetLoseAnswers: func(t *testing.T, lose bool) {
				t.Helper()
				if lose {
					require.NoError(t, r.proxy.StallReplies())
					return
				}
				r.proxy.Heal(t.Context())
			},
		}
	})
}

func (r *rig) keepsThePromisesOfAConsumer(t *testing.T) {
	brokertest.RunConsumers(t, func(t *testing.T) brokertest.ConsumerFeatures {
		t.Helper()
		r.turn.Lock()
		t.Cleanup(r.turn.Unlock)
		f := consumerFeatures(t, r.addr)
		f.SetDown = func(t *testing.T, down bool) {
			t.Helper()
			if down {
				r.proxy.Cut()
				return
			}
			require.NoError(t, r.proxy.Restore())
		}
		return f
	})
}

// trap: 4
func (r *rig) topicWithASmallLimit(t *testing.T) {
	topic := createTopic(t, 2, limit("5000"), r.addr)
	p := dial(t, kafka.Config{}, r.addr)
	call := series(topic, 400, 8) // larger than one batch may be
	for i := range call {
		call[i].Value = append(call[i].Value, strings.Repeat("x", 300)...)
	}
	call[200].Value = []byte(strings.Repeat("x", 4990)) // of key k0; with what goes around it 5,061 bytes
	errs := p.Publish(t.Context(), call)
	var want []broker.Record
	for i, err := range errs {
		switch {
		case i == 200:
			require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err))
			require.ErrorContains(t, err, "max.message.bytes")
		case i > 200 && i%8 == 0:
			require.ErrorIs(t, err, omnibox.ErrNotSent)
		default:
			require.NoError(t, err)
			want = append(want, call[i])
		}
	}
	require.Equal(t, byKey(want), byKey(read(t, topic, r.addr)))
	infos, err := p.CheckTopics(t.Context(), topic)
	require.NoError(t, err)
	require.Equal(t, []kafka.TopicInfo{{Name: topic, Partitions: 2, MaxMessageBytes: 5000, Retention: 7 * 24 * time.Hour}}, infos)

	// A limit that has been lowered since is the broker's to enforce: it blames
	// no one but the record.
	admin, err := sarama.NewClusterAdmin([]string{r.addr}, sarama.NewConfig())
	require.NoError(t, err)
	require.NoError(t, admin.AlterConfig(sarama.TopicResource, topic, limit("1500"), false))
	require.NoError(t, admin.Close())
	call = call[:16]
	call[8].Value = []byte(strings.Repeat("x", 3000))
	for i, err := range p.Publish(t.Context(), call) {
		if i == 8 {
			require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err))
			continue
		}
		require.NoError(t, err)
	}
}

func (r *rig) sasl(t *testing.T) {
	topic := createTopic(t, 1, nil, r.addr)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		good := dial(t, kafka.Config{SASL: &kafka.SASL{Mechanism: mechanism, User: "alice", Password: "secret"}}, r.Listener("SASL"))
		require.NoError(t, good.Probe(t.Context()), mechanism)
		requireSent(t, good.Publish(t.Context(), series(topic, 5, 2)))

		bad := dial(t, kafka.Config{SASL: &kafka.SASL{Mechanism: mechanism, User: "alice", Password: "wrong"}}, r.Listener("SASL"))
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		errs := bad.Publish(ctx, series(topic, 1, 1))
		cancel()
		require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(errs[0]), mechanism)
		require.ErrorContains(t, errs[0], "SASL", mechanism)
		require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(bad.Probe(t.Context())))
	}
	require.Len(t, read(t, topic, r.addr), 15)
}

func (r *rig) tls(t *testing.T, certificate string) {
	t.Helper()
	topic := createTopic(t, 1, nil, r.addr)
	good := dial(t, kafka.Config{TLS: &kafka.TLS{CAFile: certificate}}, r.Listener("TLS"))
	requireSent(t, good.Publish(t.Context(), series(topic, 5, 2)))
	require.Len(t, read(t, topic, r.addr), 5)

	bad := dial(t, kafka.Config{TLS: &kafka.TLS{}}, r.Listener("TLS"))
	err := bad.Probe(t.Context())
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err))
	require.ErrorContains(t, err, "certificate")
}

// trap: 36
func (r *rig) cutAtRandom(t *testing.T) {
	l := r.load(t, time.Second)
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 12 {
		l.sendsFor(t, 20+random.IntN(300))
		if n%4 != 0 {
			r.proxy.Cut()
			require.NoError(t, r.proxy.Restore())
			continue
		}
		require.NoError(t, r.proxy.StallReplies())
		l.failsOnce(t)
		r.proxy.Heal(t.Context())
	}
	l.finish(t)
}

// A broker that stands still and goes on.
func (r *rig) frozen(t *testing.T) {
	l := r.load(t, time.Second)
	for range 2 {
		l.sendsFor(t, 1000)
		require.NoError(t, syscall.Kill(r.Pid(), syscall.SIGSTOP))
		l.failsOnce(t)
		require.NoError(t, syscall.Kill(r.Pid(), syscall.SIGCONT))
		l.sendsFor(t, 1000)
	}
	l.finish(t)
}

// The broker is killed and comes back, under a publisher that knew it and under
// one that has never seen it.
//
// trap: 36
// trap: 37
func (r *rig) killedUnderLoad(t *testing.T) {
	topic := createTopic(t, 3, nil, r.addr)
	l := r.load(t, 15*time.Second)
	l.sendsFor(t, 5000)
	require.NoError(t, r.Kill())
	fresh := dial(t, kafka.Config{}, r.addr)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(fresh.Publish(ctx, series(topic, 1, 1))[0]))
	require.NoError(t, r.Start(t.Context()))
	l.sendsFor(t, 5000)
	want := series(topic, 20, 4)
	requireSent(t, fresh.Publish(t.Context(), want))
	require.Equal(t, byKey(want), byKey(read(t, topic, r.addr)))
	l.finish(t)
}

func limit(bytes string) map[string]*string { return map[string]*string{"max.message.bytes": &bytes} }

// noise does not compress well.
func noise(n int) string {
	random := rand.New(rand.NewPCG(5, 6))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.IntN(256))
	}
	return string(b)
}

func port(t *testing.T, addr string) (n int) {
	t.Helper()
	_, err := fmt.Sscanf(addr[strings.LastIndexByte(addr, ':')+1:], "%d", &n)
	require.NoError(t, err)
	return n
}

// tlsListener gives a listener and the file of its certificate.
func tlsListener(t *testing.T) (servers.KafkaListener, string) {
	t.Helper()
	l, _, err := servers.TLSListener()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	chain := l.Properties["ssl.keystore.certificate.chain"]
	block, _ := pem.Decode([]byte(chain + "\n"))
	require.NotNil(t, block)
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	return l, file
}
