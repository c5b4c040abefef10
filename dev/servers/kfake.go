package servers

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
)

// KfakeOptions says how to start an in-process Kafka.
type KfakeOptions struct {
	// Ports to listen on, one a broker. Defaults to one free port.
	Ports []int
	// Topics to begin with: name to number of partitions.
	Topics map[string]int32
	// AutoCreate makes topics when a client asks for them.
	AutoCreate bool
	// Options of kfake itself, for what is not here.
	Options []kfake.Opt
}

// Kfake is a Kafka inside this program: it starts at once and forgets everything.
// The embedded cluster answers for topics and injects faults.
type Kfake struct {
	*kfake.Cluster
}

// StartKfake starts an in-process Kafka.
func StartKfake(o KfakeOptions) (*Kfake, error) {
	if len(o.Ports) == 0 {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		o.Ports = []int{port}
	}
	opts := []kfake.Opt{kfake.Ports(o.Ports...), kfake.NumBrokers(len(o.Ports)), kfake.ClusterID(clusterID)}
	for name, partitions := range o.Topics {
		opts = append(opts, kfake.SeedTopics(partitions, name))
	}
	if o.AutoCreate {
		opts = append(opts, kfake.AllowAutoTopicCreation())
	}
	c, err := kfake.NewCluster(append(opts, o.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("start kfake: %w", err)
	}
	return &Kfake{c}, nil
}

// Brokers are the addresses to connect to.
func (k *Kfake) Brokers() []string { return k.ListenAddrs() }

// Close stops the brokers.
func (k *Kfake) Close() error {
	k.Cluster.Close()
	return nil
}

// FindKafka returns the brokers of OMNIBOX_KAFKA_BROKERS (comma separated) if
// that is set, and otherwise starts an in-process Kafka. Call stop in either case.
func FindKafka(o KfakeOptions) (brokers []string, stop func() error, err error) {
	if list := os.Getenv("OMNIBOX_KAFKA_BROKERS"); list != "" {
		brokers = strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
		if len(brokers) == 0 {
			return nil, nil, errors.New("OMNIBOX_KAFKA_BROKERS names no broker")
		}
		return brokers, func() error { return nil }, nil
	}
	k, err := StartKfake(o)
	if err != nil {
		return nil, nil, err
	}
	return k.Brokers(), k.Close, nil
}
