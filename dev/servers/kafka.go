package servers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// KafkaOptions says how to start an Apache Kafka. The zero value is one broker
// (and controller) with a plaintext listener.
type KafkaOptions struct {
	// Dir is the work directory; the logs of topics are in its subdirectory "data"
	// and are used again if they exist. Defaults to a temporary directory.
	Dir string
	// Port of the plaintext listener. Defaults to a free one.
	Port int
	// AdvertisedPort is the port that the plaintext listener tells its clients,
	// such as that of a [Proxy] before it. Defaults to Port.
	AdvertisedPort int
	// Listeners are further ones, for TLS and SASL.
	Listeners []KafkaListener
	// ScramUsers are created with SCRAM-SHA-256 and SCRAM-SHA-512 credentials when
	// the data directory is formatted: name to password.
	ScramUsers map[string]string
	// Properties are added to server.properties, and win. By default topics are not
	// created by using them.
	Properties map[string]string
	// HeapMB is the JVM's heap. Defaults to 512.
	HeapMB int
	// Progress is told about downloads, a line each. Defaults to silence.
	Progress io.Writer
}

// KafkaListener is a further listener of a broker.
type KafkaListener struct {
	// Name is in upper case letters.
	Name string
	// Protocol is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
	Protocol string
	// Port to listen on. Defaults to a free one.
	Port int
	// AdvertisedPort is told to clients. Defaults to Port.
	AdvertisedPort int
	// Properties get the prefix "listener.name.<name>.".
	Properties map[string]string
}

// Kafka is an Apache Kafka broker in KRaft mode.
type Kafka struct {
	*Process
	brokers   []string
	inside    string // the plaintext listener, past any proxy
	listeners map[string]string
}

// clusterID is fixed: no two of our brokers meet.
const clusterID = "b21uaWJveC1kZXYta2Fma2E"

// ExternalKafka stands for brokers that run already. Start, Stop and Close do
// nothing; Kill and Restart return [ErrExternal].
func ExternalKafka(brokers ...string) *Kafka {
	return &Kafka{Process: &Process{name: "kafka"}, brokers: brokers}
}

// StartKafka formats the data directory if it is new, starts the broker and waits
// until it answers and leads itself. It needs Java 17 and, the first time, Maven
// (or KAFKA_HOME, an unpacked release).
func StartKafka(ctx context.Context, o KafkaOptions) (*Kafka, error) {
	java, err := javaCommand()
	if err != nil {
		return nil, err
	}
	libs, err := kafkaLibs(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	dir, own, err := workDir(o.Dir, "kafka")
	if err != nil {
		return nil, err
	}
	k := &Kafka{listeners: map[string]string{}}
	k.Process = &Process{
		name: "kafka", dir: dir, ownDir: own, ready: k.leads,
		stopSig: syscall.SIGTERM, deadSig: syscall.SIGKILL,
	}
	props, err := k.properties(o)
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	file := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(file, props, 0o600); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	heap := cmp.Or(o.HeapMB, 512)
	jvm := []string{
		"-Xms256m", "-Xmx" + strconv.Itoa(heap) + "m", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS", "-cp", filepath.Join(libs, "*"),
	}
	if err := formatKafka(ctx, java, jvm, dir, file, o.ScramUsers); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	k.command = func(ctx context.Context) (*exec.Cmd, error) {
		cmd := exec.CommandContext(ctx, java, append(slices.Clone(jvm), "kafka.Kafka", file)...)
		cmd.Dir = dir
		return cmd, nil
	}
	if err := k.Start(ctx); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// formatKafka gives a new data directory its identity and its SCRAM users.
func formatKafka(ctx context.Context, java string, jvm []string, dir, file string, users map[string]string) error {
	if exists(filepath.Join(dir, "data", "meta.properties")) {
		return nil
	}
	args := append(slices.Clone(jvm), "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", file)
	for _, name := range slices.Sorted(maps.Keys(users)) {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, name, users[name]))
		}
	}
	return runTool(ctx, dir, java, args...)
}

// properties renders server.properties and remembers the addresses.
func (k *Kafka) properties(o KafkaOptions) ([]byte, error) {
	controller, err := FreePort()
	if err != nil {
		return nil, err
	}
	all := append([]KafkaListener{{Name: "PLAIN", Protocol: "PLAINTEXT", Port: o.Port, AdvertisedPort: o.AdvertisedPort}}, o.Listeners...)
	listeners := []string{"CONTROLLER://" + local(controller)}
	protocols := []string{"CONTROLLER:PLAINTEXT"}
	var advertised []string
	props := map[string]string{}
	for _, l := range all {
		if l.Port, err = freePort(l.Port); err != nil {
			return nil, err
		}
		outside := local(cmp.Or(l.AdvertisedPort, l.Port))
		k.listeners[l.Name] = outside
		listeners = append(listeners, l.Name+"://"+local(l.Port))
		advertised = append(advertised, l.Name+"://"+outside)
		protocols = append(protocols, l.Name+":"+l.Protocol)
		for key, v := range l.Properties {
			props["listener.name."+strings.ToLower(l.Name)+"."+key] = v
		}
		if l.Name == "PLAIN" {
			k.brokers = []string{outside}
			k.inside = local(l.Port)
		}
	}
	maps.Copy(props, map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          "1",
		"controller.quorum.voters":                         "1@" + local(controller),
		"controller.listener.names":                        "CONTROLLER",
		"inter.broker.listener.name":                       "PLAIN",
		"listeners":                                        strings.Join(listeners, ","),
		"advertised.listeners":                             strings.Join(advertised, ","),
		"listener.security.protocol.map":                   strings.Join(protocols, ","),
		"log.dirs":                                         filepath.Join(k.dir, "data"),
		"auto.create.topics.enable":                        "false",
		"offsets.topic.replication.factor":                 "1",
		"offsets.topic.num.partitions":                     "4",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"transaction.state.log.num.partitions":             "4",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"group.initial.rebalance.delay.ms":                 "0",
		// After a crash a broker may not register again before its last session has
		// expired, which by default takes nine seconds.
		"broker.session.timeout.ms":    "4000",
		"broker.heartbeat.interval.ms": "500",
	})
	maps.Copy(props, o.Properties)
	return renderProperties(props), nil
}

// renderProperties writes Java's format, in which a backslash and a line's end
// must be escaped (PEM certificates have many).
func renderProperties(props map[string]string) []byte {
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(props)) {
		fmt.Fprintf(&b, "%s=%s\n", key, escape.Replace(props[key]))
	}
	return []byte(b.String())
}

// Brokers are the addresses of the plaintext listener, as clients see them.
func (k *Kafka) Brokers() []string { return slices.Clone(k.brokers) }

// Listener is the address of a further listener, by its name.
func (k *Kafka) Listener(name string) string { return k.listeners[name] }

// Inside is the plaintext listener's own address, where a [Proxy] leads to.
func (k *Kafka) Inside() string { return k.inside }
