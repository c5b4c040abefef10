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
func Brokers(tb testing.TB) []string {
	tb.Helper()
	if os.Getenv(EnvKafkaBrokers) != "" {
		return Kafka(tb).Brokers()
	}
	return kfake.get(tb, func(context.Context) (*servers.Kfake, error) {
		return servers.StartKfake(servers.KfakeOptions{})
	}).Brokers()
}

// Kafka is the shared real Kafka. It cannot be killed; [StartKafka] gives one that
// can. Tests with it are skipped by -short, and where there is no Java.
func Kafka(tb testing.TB) *servers.Kafka {
	tb.Helper()
	if list := os.Getenv(EnvKafkaBrokers); list != "" {
		return servers.ExternalKafka(strings.Split(list, ",")...)
	}
	needJava(tb)
	return kafka.get(tb, func(ctx context.Context) (*servers.Kafka, error) {
		return servers.StartKafka(ctx, servers.KafkaOptions{Progress: os.Stderr})
	})
}

// StartKafka starts a real Kafka for this test alone. It is skipped as [Kafka] is.
func StartKafka(tb testing.TB, o servers.KafkaOptions) *servers.Kafka {
	tb.Helper()
	needJava(tb)
	k, err := servers.StartKafka(tb.Context(), o)
	return own(tb, k, err)
}

// StartKfake starts an in-process Kafka for this test alone.
func StartKfake(tb testing.TB, o servers.KfakeOptions) *servers.Kfake {
	tb.Helper()
	k, err := servers.StartKfake(o)
	return own(tb, k, err)
}

// StartProxy starts a proxy that can be broken, for this test alone.
func StartProxy(tb testing.TB, o servers.ProxyOptions) *servers.Proxy {
	tb.Helper()
	p, err := servers.StartProxy(o)
	return own(tb, p, err)
}

func needJava(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("a real Kafka takes seconds to start")
	}
	if _, err := exec.LookPath("java"); err != nil && os.Getenv("JAVA_HOME") == "" {
		tb.Skip("no Java on this machine")
	}
}
