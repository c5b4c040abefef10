package config

import (
	"errors"
	"maps"
	"slices"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
)

// Kafka is the adapter's configuration of the broker.
func (b Broker) Kafka() kafka.Config {
	cfg := kafka.Config{
		Addresses: b.Addresses, ClientID: b.ClientID, Compression: b.Compression, Version: b.Version,
		DialTimeout: b.DialTimeout, RequestTimeout: b.RequestTimeout,
	}
	if t := b.TLS; t != nil {
		cfg.TLS = &kafka.TLS{CAFile: t.CA, CertFile: t.Cert, KeyFile: t.Key, ServerName: t.ServerName, InsecureSkipVerify: t.Insecure}
	}
	if s := b.SASL; s != nil {
		cfg.SASL = &kafka.SASL{Mechanism: s.Mechanism, User: s.Username, Password: s.Password.Reveal()}
	}
	return cfg
}

// judged takes in what a part finds wrong with its configuration, which the worker
// asks too: what is accepted here is accepted there. Its names of fields are those of
// our keys.
func (v *validator) judged(path string, err error) {
	if err == nil {
		return
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		if e, ok := errors.AsType[*broker.FieldError](err); ok {
			v.problem(join(path, e.Field), "%s", e.Err)
		}
	}
}

// checkFiles finds what is wrong with the files of TLS, except where a problem is
// known already.
func (c *Config) checkFiles(known problems) problems {
	v := validator{origins: c.origins, known: known}
	for _, name := range slices.Sorted(maps.Keys(c.Brokers)) {
		v.judged(join("brokers", name), new(c.Brokers[name].Kafka()).Validate())
	}
	return v.problems
}
