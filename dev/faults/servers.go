package faults

import (
	"context"
	"errors"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/omnibox-go/omnibox/dev/servers"
)

// Servers are what campaigns break, one after the other: one of each, and a proxy
// before each through which workers come. Producers and readers come past it.
type Servers struct {
	Dir        string
	Postgres   *servers.Postgres
	Temporal   *servers.Temporal
	Kafka      *servers.Kafka
	ToPostgres *servers.Proxy
	ToTemporal *servers.Proxy
	ToKafka    *servers.Proxy
}

// StartServers starts them with everything that they write below dir.
func StartServers(ctx context.Context, dir string, progress io.Writer) (_ *Servers, err error) {
	s := &Servers{Dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Postgres, err = servers.StartPostgres(ctx, servers.PostgresOptions{
		Dir: filepath.Join(dir, "postgres"), Progress: progress,
	}); err != nil {
		return nil, err
	}
	if s.Temporal, err = servers.StartTemporal(ctx, servers.TemporalOptions{
		Dir: filepath.Join(dir, "temporal"), Headless: true, DynamicConfig: servers.TemporalLoad(), Progress: progress,
	}); err != nil {
		return nil, err
	}
	// Kafka tells its clients where to come, so the proxy's port must be known first.
	port, err := servers.FreePort()
	if err != nil {
		return nil, err
	}
	if s.Kafka, err = servers.StartKafka(ctx, servers.KafkaOptions{
		Dir: filepath.Join(dir, "kafka"), AdvertisedPort: port, Progress: progress,
		Listeners: []servers.KafkaListener{{Name: "DIRECT", Protocol: "PLAINTEXT"}},
	}); err != nil {
		return nil, err
	}
	if s.ToKafka, err = servers.StartProxy(servers.ProxyOptions{Port: port, Upstream: s.Kafka.Inside()}); err != nil {
		return nil, err
	}
	database, err := url.Parse(s.Postgres.URL())
	if err != nil {
		return nil, err
	}
	if s.ToPostgres, err = servers.StartProxy(servers.ProxyOptions{Upstream: database.Host}); err != nil {
		return nil, err
	}
	s.ToTemporal, err = servers.StartProxy(servers.ProxyOptions{Upstream: s.Temporal.Address()})
	return s, err
}

// Broker is Kafka's address past the proxy.
func (s *Servers) Broker() string { return s.Kafka.Listener("DIRECT") }

// DatabaseURL is that of a database, past the proxy and through it.
func (s *Servers) DatabaseURL(name string) (direct, proxied string, err error) {
	if direct, err = s.Postgres.DatabaseURL(name); err != nil {
		return "", "", err
	}
	u, err := url.Parse(direct)
	if err != nil {
		return "", "", err
	}
	u.Host = s.ToPostgres.Address()
	return direct, u.String(), nil
}

// Logs of the servers.
func (s *Servers) Logs() string {
	return strings.Join([]string{s.Postgres.LogFile(), s.Temporal.LogFile(), s.Kafka.LogFile()}, " ")
}

// Close stops everything.
func (s *Servers) Close() error {
	var errs []error
	for _, p := range []*servers.Proxy{s.ToPostgres, s.ToTemporal, s.ToKafka} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	if s.Kafka != nil {
		errs = append(errs, s.Kafka.Close())
	}
	if s.Temporal != nil {
		errs = append(errs, s.Temporal.Close())
	}
	if s.Postgres != nil {
		errs = append(errs, s.Postgres.Close())
	}
	return errors.Join(errs...)
}
