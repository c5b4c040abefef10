// Package lab is where benchmarks are run: real servers with the settings of
// production, a fresh database and topic for each run, and a meter of CPU time.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/store/migrate"
)

// template is the database that all others are copies of.
const template = "bench_template"

// Lab is a pair of servers. It is safe for concurrent use.
type Lab struct {
	postgres *servers.Postgres
	brokers  []string
	kafka    *servers.Kafka // nil if it is not ours
	runs     atomic.Int64
}

// settings are those of a small production server: what is committed is on the
// disk. The rest of Postgres' defaults stay.
func settings() map[string]string {
	return map[string]string{
		"fsync":              "on",
		"synchronous_commit": "on",
		"autovacuum":         "on",
		"shared_buffers":     "512MB",
		"max_wal_size":       "4GB",
		"max_connections":    "100",
	}
}

// Open starts a Postgres and an Apache Kafka of its own. Downloads, if any, are
// reported to progress, a line each. Close stops them.
func Open(ctx context.Context, progress io.Writer) (*Lab, error) {
	postgres, err := servers.StartPostgres(ctx, servers.PostgresOptions{Settings: settings(), Progress: progress})
	if err != nil {
		return nil, err
	}
	kafka, err := servers.StartKafka(ctx, servers.KafkaOptions{Progress: progress, HeapMB: 1024})
	if err != nil {
		return nil, errors.Join(err, postgres.Close())
	}
	l, err := New(ctx, postgres, kafka.Brokers())
	if err != nil {
		return nil, errors.Join(err, kafka.Close(), postgres.Close())
	}
	l.kafka = kafka
	return l, nil
}

// New uses servers that run already. Close leaves them alone, and nothing behind.
func New(ctx context.Context, postgres *servers.Postgres, brokers []string) (*Lab, error) {
	l := &Lab{postgres: postgres, brokers: brokers}
	if err := l.admin(ctx, "drop database if exists "+template, "create database "+template); err != nil {
		return nil, err
	}
	url, err := postgres.DatabaseURL(template)
	if err != nil {
		return nil, err
	}
	db, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if _, err := migrate.Up(ctx, db, migrate.Options{
		Tables: []string{migrate.DefaultTable}, Inboxes: []string{migrate.DefaultInbox},
	}); err != nil {
		return nil, fmt.Errorf("migrate the template: %w", err)
	}
	return l, nil
}

// Brokers are the addresses of Kafka.
func (l *Lab) Brokers() []string { return l.brokers }

// Temporal starts a Temporal dev server for one run: its store gets slower with
// what it has kept, by half within ten thousand workflows.
func (l *Lab) Temporal(ctx context.Context) (*servers.Temporal, error) {
	return servers.FindTemporal(ctx, servers.TemporalOptions{DBFile: "-", Headless: true, DynamicConfig: servers.TemporalLoad()})
}

// Close stops the servers that were started here.
func (l *Lab) Close(ctx context.Context) error {
	var errs []error
	if l.kafka != nil {
		errs = append(errs, l.kafka.Close(), l.postgres.Close())
	} else {
		errs = append(errs, l.admin(context.WithoutCancel(ctx), "drop database if exists "+template))
	}
	return errors.Join(errs...)
}

// admin runs statements that belong to no database of a run.
func (l *Lab) admin(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, l.postgres.URL())
	if err != nil {
		return err
	}
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", s, err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}
