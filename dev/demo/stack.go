package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"

	"github.com/omnibox-go/omnibox/dev/servers"
)

// stack is the servers of a run, and the names that it uses on them.
type stack struct {
	options Options
	screen  *screen
	dir     string // of logs

	database, orders, prefix string // names of the database, the topic, and of workflow ids
	invoices                 string // the topic that billing writes to

	temporal    *servers.Temporal
	databaseURL string // of the shop
	billingURL  string // of the other service
	brokers     []string
	client      client.Client
	topic       *topic // of orders
	announced   *topic // of invoices
	log         *slog.Logger

	escalated []string // ids of workflows

	mu      sync.Mutex
	closers []func(context.Context) error
}

func newStack(o Options, s *screen, dir, tag string) *stack {
	return &stack{options: o, screen: s, dir: dir, database: "demo_" + tag, orders: "orders-" + tag, invoices: "invoices-" + tag, prefix: "demo-" + tag}
}

// closeLater adds what close does, before all that was added earlier.
func (s *stack) closeLater(f func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, f)
}

// close stops what runs, the last first.
func (s *stack) close(ctx context.Context) error {
	var errs []error
	for _, f := range slices.Backward(s.closers) {
		errs = append(errs, f(ctx))
	}
	return errors.Join(errs...)
}

// start finds or starts the servers, all at once. The error tells of all that
// cannot be had, a line each.
func (s *stack) start(ctx context.Context) error {
	if err := s.openLog(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	starts := []func(context.Context) error{s.startTemporal, s.startPostgres, s.startKafka}
	errs := make([]error, len(starts))
	for i, start := range starts {
		wg.Go(func() { errs[i] = start(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// up tells that a server is there.
func (s *stack) up(name, where string, since time.Time) {
	s.screen.good("%-9s %-59s %4.1f s", name, where, time.Since(since).Seconds())
}

// server is what closeLater needs of one.
type server interface{ Close() error }

func (s *stack) closeServer(c server) {
	s.closeLater(func(context.Context) error { return c.Close() })
}

func (s *stack) startTemporal(ctx context.Context) error {
	since := time.Now()
	if a := s.options.TemporalAddress; a != "" {
		s.temporal = servers.ExternalTemporal(a)
		if err := s.dialTemporal(ctx); err != nil {
			return s.missing("Temporal", "at TEMPORAL_ADDRESS, "+a, err)
		}
		s.up("Temporal", a+", yours", since)
		return nil
	}
	t, err := servers.StartTemporal(ctx, servers.TemporalOptions{DBFile: "-", DynamicConfig: servers.TemporalLoad(), Progress: s.screen})
	if err != nil {
		return s.missing("Temporal", "install the temporal command or set TEMPORAL_ADDRESS", err)
	}
	s.closeServer(t)
	s.temporal = t
	if err := s.dialTemporal(ctx); err != nil {
		return err
	}
	s.up("Temporal", t.Address()+", our own dev server", since)
	return nil
}

func (s *stack) startPostgres(ctx context.Context) (err error) {
	since := time.Now()
	p, whose := servers.ExternalPostgres(s.options.DatabaseURL), "yours"
	if s.options.DatabaseURL == "" {
		// a rate without fsync would flatter
		p, err = servers.StartPostgres(ctx, servers.PostgresOptions{Settings: map[string]string{"fsync": "on"}, Progress: s.screen})
		if err != nil {
			return s.missing("Postgres", "install its server or set OMNIBOX_DATABASE_URL", err)
		}
		s.closeServer(p)
		whose = "our own"
	}
	if s.databaseURL, err = s.createDatabase(ctx, p, s.database); err != nil {
		return err
	}
	if s.billingURL, err = s.createDatabase(ctx, p, s.database+"_billing"); err != nil {
		return err
	}
	s.up("Postgres", fmt.Sprintf("%s, %s, database %s", host(s.databaseURL), whose, s.database), since)
	return nil
}

// createDatabase creates a database, which is dropped at the end where the server
// lives longer than the demo.
func (s *stack) createDatabase(ctx context.Context, p *servers.Postgres, name string) (string, error) {
	created, err := p.DatabaseURL(name)
	if err != nil || !strings.HasPrefix(created, "postgres") {
		return "", errors.New("OMNIBOX_DATABASE_URL is not a URL: write postgres://user:password@host/database")
	}
	if err := statementOn(ctx, p.URL(), "create database "+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", s.missing("Postgres", "the demo needs a server on which it may create databases", err)
	}
	if s.options.DatabaseURL != "" {
		s.closeLater(func(ctx context.Context) error {
			return statementOn(ctx, p.URL(), "drop database "+pgx.Identifier{name}.Sanitize()+" with (force)")
		})
	}
	return created, nil
}

func (s *stack) startKafka(ctx context.Context) error {
	since := time.Now()
	whose := "yours"
	if s.brokers = s.options.Brokers; len(s.brokers) == 0 {
		k, err := servers.StartKfake(servers.KfakeOptions{})
		if err != nil {
			return s.missing("Kafka", "set OMNIBOX_KAFKA_BROKERS", err)
		}
		s.closeServer(k)
		s.brokers, whose = k.Brokers(), "in process"
	}
	var err error
	if s.topic, err = s.openTopic(ctx, s.orders); err != nil {
		return err
	}
	if s.announced, err = s.openTopic(ctx, s.invoices); err != nil {
		return err
	}
	s.up("Kafka", fmt.Sprintf("%s, %s, topic %s", s.brokers[0], whose, s.orders), since)
	return nil
}

// openTopic creates a topic and listens to it.
func (s *stack) openTopic(ctx context.Context, name string) (*topic, error) {
	t, err := openTopic(ctx, s.brokers, name)
	if err != nil {
		return nil, s.missing("Kafka", "the demo needs one on which it may create topics", err)
	}
	s.closeLater(func(ctx context.Context) error {
		defer t.close()
		if len(s.options.Brokers) == 0 {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, closing)
		defer cancel()
		return t.remove(ctx)
	})
	return t, nil
}

// missing says in one line what could not be had and what to do. A longer
// story, such as the end of a server's log, goes into a file.
func (s *stack) missing(name, advice string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	file := filepath.Join(s.dir, name+".error.log")
	const most = 200
	line := []rune(strings.Join(strings.Fields(err.Error()), " "))
	if len(line) <= most || os.WriteFile(file, []byte(err.Error()+"\n"), 0o600) != nil {
		return fmt.Errorf("%s: %s (%s)", name, string(line), advice)
	}
	return fmt.Errorf("%s: %s… (%s; more in %s)", name, string(line[:most]), advice, file)
}

// statementOn runs a statement on a connection of its own.
func statementOn(ctx context.Context, databaseURL, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

func host(databaseURL string) string {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return "?"
	}
	return u.Host
}

// openLog opens the log of the worker and of the Temporal client.
func (s *stack) openLog() error {
	f, err := os.Create(filepath.Join(s.dir, "worker.log"))
	if err != nil {
		return err
	}
	s.closeServer(f)
	s.log = slog.New(slog.NewTextHandler(f, nil))
	return nil
}
