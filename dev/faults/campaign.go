package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
)

// Campaign is one run of faults, with a database, a topic and workers of its own.
type Campaign struct {
	Servers *Servers
	// Command runs a worker.
	Command Command
	// Name of the database, of the topic, and of the work directory.
	Name string
	// Faults is how many there are, and Seed decides which.
	Faults int
	Seed   uint64
	// Only those whose name contains this; empty for all.
	Only string
	// Rate is events a second, Keys how many keys they have.
	Rate, Keys int
	// Lease, Shards, Claim and Lane of the pipeline.
	Lease  time.Duration
	Shards int
	Claim  string
	Lane   string
	// Ack is an inbox's: when it commits the offset of a message. Empty for an
	// outbox.
	Ack string
	// Promises about the table beyond those that all campaigns check.
	Promises []Promise
	// Logf hears of progress.
	Logf func(format string, args ...any)
}

const (
	pipelineName = "orders"
	writers      = 8
	partitions   = 6
	// flowLimit is how long events may take to flow again after a fault. It is far
	// more than any recovery takes: what is still waiting then is stuck.
	flowLimit = 90 * time.Second
	// drainLimit is for the whole backlog at the end.
	drainLimit = 2 * time.Minute
	// readLimit is for reading what is in the topic then.
	readLimit = 10 * time.Second
)

// run is a campaign under way.
type run struct {
	*Campaign
	box     box
	random  *rand.Rand
	direct  *pgx.ConnConfig // of the database, past the proxy
	workers []*servers.Process
	ledger  *Ledger
	reader  observer
	slots   map[string]int // of the keys
	report  *Report
}

// leasesSlots tells whether workers hold slots for longer than a moment.
func (c *Campaign) leasesSlots() bool { return c.Claim == store.ClaimShard && c.Lane != "workflow" }

func (c *Campaign) dir() string { return filepath.Join(c.Servers.Dir, c.Name) }

// Run runs the campaign. The error is of what it could not do; what it found is in
// the report, which is never nil.
func (c *Campaign) Run(ctx context.Context) (*Report, error) {
	r := &run{
		Campaign: c, box: c.box(), random: rand.New(rand.NewPCG(c.Seed, 0)), ledger: NewLedger(), slots: map[string]int{},
		report: &Report{Bound: c.Lease + takeoverSlack},
	}
	if !slices.ContainsFunc(faults, func(f fault) bool { return strings.Contains(f.name, c.Only) }) {
		return r.report, fmt.Errorf("no fault has %q in its name", c.Only)
	}
	producer, err := r.prepare(ctx)
	if r.reader != nil {
		defer r.reader.Close()
	}
	if err != nil {
		return r.report, errors.Join(err, r.stopWorkers(ctx))
	}
	began := time.Now()
	production := produce(ctx, producer, r.ledger)
	err = r.breakThings(ctx, production)
	err = errors.Join(err, production.end())
	r.report.Produced = time.Since(began)
	if err == nil {
		err = r.awaitEnd(ctx)
	}
	return r.report, errors.Join(err, r.stopWorkers(ctx), r.check(ctx))
}

// production is a producer at work.
type production struct {
	stop context.CancelFunc
	done chan struct{}
	err  error // read after done
}

func produce(ctx context.Context, p producer, l *Ledger) *production {
	ctx, stop := context.WithCancel(ctx)
	out := &production{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(out.done)
		out.err = p.Run(ctx, l)
	}()
	return out
}

func (p *production) end() error {
	p.stop()
	<-p.done
	return p.err
}

// prepare makes the database and the topic, and starts reader and workers.
func (r *run) prepare(ctx context.Context) (producer, error) {
	if err := os.MkdirAll(r.dir(), 0o755); err != nil {
		return nil, err
	}
	direct, proxied, err := r.Servers.DatabaseURL(r.Name)
	if err != nil {
		return nil, err
	}
	if err := r.createDatabase(ctx, direct); err != nil {
		return nil, fmt.Errorf("prepare database: %w", err)
	}
	if err := createTopic(ctx, r.Name, r.Servers.Broker()); err != nil {
		return nil, fmt.Errorf("create topic: %w", err)
	}
	reader, err := r.box.observe(ctx, direct)
	if err != nil {
		return nil, err
	}
	r.reader = reader
	if err := r.startWorkers(ctx, proxied); err != nil {
		return nil, err
	}
	return r.box.producer(direct), nil
}

func (r *run) createDatabase(ctx context.Context, direct string) (err error) {
	server, err := pgx.Connect(ctx, r.Servers.Postgres.URL())
	if err != nil {
		return err
	}
	_, err = server.Exec(ctx, "create database "+pgx.Identifier{r.Name}.Sanitize())
	if err := errors.Join(err, server.Close(ctx)); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, direct)
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := migrate.Up(ctx, pool, r.box.options); err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, r.box.setup+r.box.of(guard)); err != nil {
		return err
	}
	r.direct, err = pgx.ParseConfig(direct)
	return err
}

func createTopic(ctx context.Context, topic, broker string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return err
	}
	defer client.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, partitions, 1
	// the broker's clock tells when a record came, whatever worker sent it
	byBroker := "LogAppendTime"
	t.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "message.timestamp.type", Value: &byBroker}}
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, client)
	if err == nil && resp.Topics[0].ErrorCode != 0 {
		return fmt.Errorf("code %d", resp.Topics[0].ErrorCode)
	}
	return err
}

// breakThings makes one fault after the other, each when events flow.
func (r *run) breakThings(ctx context.Context, production *production) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-production.done: // long before it was told to
			cancel(errors.New("the producer gave up"))
		case <-ctx.Done():
		}
	}()
	if err := r.awaitFlow(ctx); err != nil {
		return fmt.Errorf("before the first fault: %w", err)
	}
	if err := r.readSlots(ctx); err != nil {
		return err
	}
	deck := deck{random: r.random, only: r.Only}
	for n := range r.Faults {
		fault := deck.next()
		if err := r.suffer(ctx, n+1, fault); err != nil {
			return fmt.Errorf("fault %d, %s: %w", n+1, fault.name, err)
		}
	}
	return nil
}

// suffer makes one fault and waits until all is well again.
func (r *run) suffer(ctx context.Context, n int, fault fault) error {
	records, events := r.reader.Len(ctx)
	began := time.Now()
	hit := &Hit{N: n, Fault: fault.name, At: began}
	if err := fault.strike(ctx, r, hit); err != nil {
		return err
	}
	healed := time.Now()
	hit.Lasted = healed.Sub(began)
	if err := r.awaitFlow(ctx); err != nil {
		return err
	}
	hit.Recovery = time.Since(healed)
	recordsNow, eventsNow := r.reader.Len(ctx)
	hit.Duplicates = (recordsNow - records) - (eventsNow - events)
	if err := r.takeovers(ctx, hit); err != nil {
		return err
	}
	r.report.Hits = append(r.report.Hits, hit)
	r.Logf("%s", hit)
	return nil
}

// awaitFlow waits until each key has delivered an event that was committed after
// the call.
func (r *run) awaitFlow(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, flowLimit, fmt.Errorf("events do not flow after %s", flowLimit))
	defer cancel()
	next := r.ledger.Latest()
	for k := range r.Keys {
		next[keyName(k)]++
	}
	return r.reader.Await(ctx, next)
}

// awaitEnd waits until everything is settled, and has been read from the topic if
// it is there.
func (r *run) awaitEnd(ctx context.Context) error {
	waiting, cancel := context.WithTimeoutCause(ctx, drainLimit, fmt.Errorf("backlog is not empty after %s", drainLimit))
	defer cancel()
	settled := r.box.of("select count(*) from {{table}} where status <> 'pending'")
	for n := -1; n < r.ledger.Len(); pause(waiting, 100*time.Millisecond) {
		err := r.query(waiting, settled, &n)
		if waiting.Err() != nil {
			return fmt.Errorf("%d of %d events are settled: %w", n, r.ledger.Len(), errors.Join(context.Cause(waiting), err))
		}
	}
	reading, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	for _, events := r.reader.Len(reading); events < r.ledger.Len() && reading.Err() == nil; _, events = r.reader.Len(reading) {
		pause(reading, 100*time.Millisecond)
	}
	if r.Ack != "" {
		return r.awaitCommitted(ctx)
	}
	return nil
}

// stopWorkers stops them in order, so that the check finds what they leave behind.
func (r *run) stopWorkers(ctx context.Context) error {
	var errs []error
	for _, w := range r.workers {
		errs = append(errs, w.Stop(context.WithoutCancel(ctx)))
	}
	return errors.Join(errs...)
}

// check puts into the report what was found.
func (r *run) check(ctx context.Context) error {
	deliveries, err := r.reader.All(ctx)
	if err != nil {
		return err
	}
	found := Compare(r.ledger, deliveries)
	if r.Ack != "" {
		found.requireOnce()
	}
	found.Broken = append(r.report.Broken, found.Broken...)
	r.report.Findings = found
	r.report.requireLoad(r.Rate)
	if r.leasesSlots() && r.Ack == "" {
		r.report.requireTakeovers()
	}
	db, err := pgx.ConnectConfig(ctx, r.direct)
	if err != nil {
		return err
	}
	found, err = CheckTable(ctx, db, r.box.table, r.ledger, r.Promises...)
	r.report.Broken = append(r.report.Broken, found.Broken...)
	return errors.Join(err, db.Close(ctx))
}

// query reads one row, past the proxy.
func (r *run) query(ctx context.Context, sql string, dest ...any) error {
	db, err := pgx.ConnectConfig(ctx, r.direct)
	if err != nil {
		return err
	}
	return errors.Join(db.QueryRow(ctx, sql).Scan(dest...), db.Close(ctx))
}
