package devtest

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/omnibox-go/omnibox/dev/servers"
)

var (
	kafka shared[*servers.Kafka]
	kfake shared[*servers.Kfake]
)

// Brokers are the real brokers of OMNIBOX_TEST_KAFKA_BROKERS if that is set, and a
// shared in-process Kafka otherwise: for tests that any Kafka will do for. Topics
// of different tests must have different names, and must be created.
func Brokers(t testing.TB) []string {
	t.Helper()
	if os.Getenv(EnvKafkaBrokers) != "" {
		return Kafka(t).Brokers()
	}
	return kfake.get(t, func(context.Context) (*servers.Kfake, error) {
		return servers.StartKfake(servers.KfakeOptions{})
	}).Brokers()
}

// Kafka is the shared real Kafka. It cannot be killed; [StartKafka] gives one that
// can. Tests with it are skipped by -short, and where there is no Java.
func Kafka(t testing.TB) *servers.Kafka {
	t.Helper()
	if list := os.Getenv(EnvKafkaBrokers); list != "" {
		return servers.ExternalKafka(strings.Split(list, ",")...)
	}
	needJava(t)
	return kafka.get(t, func(ctx context.Context) (*servers.Kafka, error) {
		return servers.StartKafka(ctx, servers.KafkaOptions{Progress: os.Stderr})
	})
}

// StartKafka starts a real Kafka for this test alone. It is skipped as [Kafka] is.
func StartKafka(t testing.TB, o servers.KafkaOptions) *servers.Kafka {
	t.Helper()
	needJava(t)
	k, err := servers.StartKafka(t.Context(), o)
	return own(t, k, err)
}

// StartKfake starts an in-process Kafka for this test alone.
func StartKfake(t testing.TB, o servers.KfakeOptions) *servers.Kfake {
	t.Helper()
	k, err := servers.StartKfake(o)
	return own(t, k, err)
}

// StartProxy starts a proxy that can be broken, for this test alone.
func StartProxy(t testing.TB, o servers.ProxyOptions) *servers.Proxy {
	t.Helper()
	p, err := servers.StartProxy(o)
	return own(t, p, err)
}

func needJava(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("a real Kafka takes seconds to start")
	}
	if _, err := exec.LookPath("java"); err != nil && os.Getenv("JAVA_HOME") == "" {
		t.Skip("no Java on this machine")
	}
}
