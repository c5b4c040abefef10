package servers_test

import (
	"crypto/sha256"
	"crypto/tls"
	"hash"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/xdg-go/scram"

	"github.com/omnibox-go/omnibox/dev/servers"
)

func kafkaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.MetricRegistry.UnregisterAll()
	c.Producer.Return.Successes = true
	c.Producer.Retry.Max, c.Metadata.Retry.Max = 100, 100
	return c
}

func createTopic(t *testing.T, brokers []string, topic string) {
	t.Helper()
	admin, err := sarama.NewClusterAdmin(brokers, kafkaConfig())
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close()) }()
	require.NoError(t, admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false))
}

func produce(t *testing.T, brokers []string, config *sarama.Config, topic, value string) {
	t.Helper()
	p, err := sarama.NewSyncProducer(brokers, config)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	_, _, err = p.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)})
	require.NoError(t, err)
}

// consume reads n records from the start of partition 0.
func consume(t *testing.T, brokers []string, topic string, n int) (values []string) {
	t.Helper()
	c, err := sarama.NewConsumer(brokers, kafkaConfig())
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	pc, err := c.ConsumePartition(topic, 0, sarama.OffsetOldest)
	require.NoError(t, err)
	defer func() { require.NoError(t, pc.Close()) }()
	deadline := time.After(time.Minute)
	for len(values) < n {
		select {
		case m := <-pc.Messages():
			values = append(values, string(m.Value))
		case <-deadline:
			require.FailNow(t, "no more records", "have %v", values)
		}
	}
	return values
}

func startKafka(t *testing.T, o servers.KafkaOptions) *servers.Kafka {
	t.Helper()
	if testing.Short() {
		t.Skip("a real Kafka takes seconds to start")
	}
	if _, err := exec.LookPath("java"); err != nil {
		t.Skip("no Java on this machine")
	}
	o.Progress = os.Stderr
	k, err := servers.StartKafka(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, k.Close()) })
	return k
}

func TestKafkaSurvivesCrashAndRestart(t *testing.T) {
	t.Parallel()
	k := startKafka(t, servers.KafkaOptions{Properties: map[string]string{"message.max.bytes": "5000000"}})
	createTopic(t, k.Brokers(), "orders")
	produce(t, k.Brokers(), kafkaConfig(), "orders", "one")

	require.NoError(t, k.Kill())
	began := time.Now()
	require.NoError(t, k.Start(t.Context()))
	t.Logf("up %s after kill -9", time.Since(began).Round(time.Millisecond))
	produce(t, k.Brokers(), kafkaConfig(), "orders", "two")

	began = time.Now()
	require.NoError(t, k.Restart(t.Context()))
	t.Logf("restarted in %s", time.Since(began).Round(time.Millisecond))
	produce(t, k.Brokers(), kafkaConfig(), "orders", "three")
	require.Equal(t, []string{"one", "two", "three"}, consume(t, k.Brokers(), "orders", 3))
}

func TestKafkaListeners(t *testing.T) {
	t.Parallel()
	tlsListener, pool, err := servers.TLSListener()
	require.NoError(t, err)
	k := startKafka(t, servers.KafkaOptions{
		Listeners:  []servers.KafkaListener{tlsListener, servers.SASLListener("ann", "s3cret")},
		ScramUsers: map[string]string{"ann": "s3cret"},
	})
	createTopic(t, k.Brokers(), "payments")

	c := kafkaConfig()
	c.Net.TLS.Enable, c.Net.TLS.Config = true, &tls.Config{RootCAs: pool}
	produce(t, []string{k.Listener("TLS")}, c, "payments", "tls")

	for _, mechanism := range []sarama.SASLMechanism{sarama.SASLTypePlaintext, sarama.SASLTypeSCRAMSHA256} {
		c := kafkaConfig()
		c.Net.SASL.Enable, c.Net.SASL.Mechanism = true, mechanism
		c.Net.SASL.User, c.Net.SASL.Password = "ann", "s3cret"
		c.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{} }
		produce(t, []string{k.Listener("SASL")}, c, "payments", string(mechanism))
	}
	require.Equal(t, []string{"tls", "PLAIN", "SCRAM-SHA-256"}, consume(t, k.Brokers(), "payments", 3))
}

// A client that enters through a proxy must be sent back to it.
func TestKafkaBehindAProxy(t *testing.T) {
	t.Parallel()
	outside, err := servers.FreePort()
	require.NoError(t, err)
	k := startKafka(t, servers.KafkaOptions{AdvertisedPort: outside})
	proxy := startProxy(t, servers.ProxyOptions{Port: outside, Upstream: k.Inside()})
	require.Equal(t, []string{proxy.Address()}, k.Brokers())
	createTopic(t, k.Brokers(), "orders")
	produce(t, k.Brokers(), kafkaConfig(), "orders", "through")
	proxy.Cut()
	_, err = sarama.NewClient(k.Brokers(), sarama.NewConfig())
	require.Error(t, err)
}

type scramClient struct{ conversation *scram.ClientConversation }

func (c *scramClient) Begin(user, password, authz string) error {
	client, err := scram.HashGeneratorFcn(func() hash.Hash { return sha256.New() }).NewClient(user, password, authz)
	if err != nil {
		return err
	}
	c.conversation = client.NewConversation()
	return nil
}

func (c *scramClient) Step(challenge string) (string, error) { return c.conversation.Step(challenge) }
func (c *scramClient) Done() bool                            { return c.conversation.Done() }

func TestKfake(t *testing.T) {
	t.Parallel()
	k, err := servers.StartKfake(servers.KfakeOptions{Topics: map[string]int32{"orders": 1}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, k.Close()) })
	produce(t, k.Brokers(), kafkaConfig(), "orders", "one")
	require.Equal(t, []string{"one"}, consume(t, k.Brokers(), "orders", 1))
}
