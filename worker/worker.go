package worker

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/worker/config"
)

// Worker runs the pipelines of a configuration.
type Worker struct {
	cfg       *config.Config
	options   *options
	log       *slog.Logger
	temporal  client.Client
	namespace string
	databases map[string]*pgxpool.Pool
	brokers   map[string]*destination
	boxes     []*box
	metrics   *prometheus.Registry
	listener  net.Listener // nil when nothing is served
}

// destination is a broker with what its pipelines share.
type destination struct {
	publisher broker.Publisher
	breaker   *pipeline.Breaker
}

// Run runs the pipelines of cfg until ctx ends, and then stops in order: what
// is being sent is settled, leases are given back. It blocks until that is
// done, for at most cfg.Shutdown.Grace longer: what has not stopped then, because
// a server does not answer, goes on until it does or the process ends, and leases
// that were not given back run out.
//
// It does not need anything to be up: what cannot be reached is tried again,
// visibly, until it can. The error is of the configuration or the options.
func Run(ctx context.Context, cfg *config.Config, opts ...Option) error {
	w, err := New(cfg, opts...) //nolint:contextcheck // nothing dials before Run
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// New prepares a worker without touching the network, but for the address that
// health and metrics are served on.
func New(cfg *config.Config, opts ...Option) (*Worker, error) {
	o := collect(opts)
	if err := o.check(cfg); err != nil {
		return nil, err
	}
	w := &Worker{
		cfg: cfg, options: o, log: o.log, metrics: prometheus.NewRegistry(),
		databases: map[string]*pgxpool.Pool{}, brokers: map[string]*destination{},
	}
	if err := w.connect(); err != nil {
		w.Close()
		return nil, err
	}
	owner := ownerName()
	events := newEventMetrics(w.metrics)
	for _, box := range cfg.Boxes() {
		b, err := newBox(w, box, owner, events)
		if err != nil {
			w.Close()
			return nil, fmt.Errorf("%s: %w", box.Path(), err)
		}
		w.boxes = append(w.boxes, b)
	}
	w.metrics.MustRegister(&boxCollector{boxes: w.boxes})
	return w, nil
}

// connect makes the clients of everything; none of them dials yet.
func (w *Worker) connect() (err error) {
	for name, db := range w.cfg.Databases {
		if w.databases[name], err = openPool(db, connections(w.cfg, name)); err != nil {
			return fmt.Errorf("databases.%s.url: %w", name, err)
		}
		if have, least := w.databases[name].Config().MaxConns, handlers(w.cfg, name)+2; have < least {
			return fmt.Errorf("databases.%s.url: pool_max_conns is %d, but handlers of inboxes take up to %d connections at once, and leases and settling two more: "+
				"make it at least %d, or lower concurrency", name, have, least-2, least)
		}
	}
	for name, b := range w.cfg.Brokers {
		p := w.options.publishers[name]
		if p == nil {
			if p, err = newPublisher(b, w.log); err != nil {
				return fmt.Errorf("brokers.%s: %w", name, err)
			}
		}
		w.brokers[name] = &destination{publisher: p, breaker: pipeline.NewBreaker(name, p.Probe, w.log)}
	}
	if w.temporal, w.namespace, err = newTemporalClient(w.cfg.Temporal, w.log); err != nil {
		return fmt.Errorf("temporal: %w", err)
	}
	if w.cfg.HTTP.Listen != "" {
		if w.listener, err = net.Listen("tcp", w.cfg.HTTP.Listen); err != nil { //nolint:noctx // does not block
			return fmt.Errorf("http.listen: %w (another address or \"off\" mends it)", err)
		}
	}
	return nil
}

// Run is Run for a prepared worker. It can be called once.
func (w *Worker) Run(ctx context.Context) error {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.run(ctx)
		w.close()
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
	}
	grace := time.NewTimer(w.cfg.Shutdown.Grace)
	defer grace.Stop()
	select {
	case <-stopped:
	case <-grace.C:
		w.log.WarnContext(ctx, "not all has stopped within shutdown.grace, what is left ends with the process",
			slog.Duration("grace", w.cfg.Shutdown.Grace))
	}
	return nil
}

// run works until ctx ends and everything has stopped.
func (w *Worker) run(ctx context.Context) {
	var wg sync.WaitGroup
	if w.listener != nil {
		server := w.newServer()
		wg.Go(func() { w.serve(ctx, server) })
	}
	for _, b := range w.boxes {
		wg.Go(func() { b.run(ctx) })
	}
	wg.Wait()
}

// Ready reports whether every pipeline is being worked for, with a database that
// answers.
func (w *Worker) Ready() bool {
	return !slices.ContainsFunc(w.boxes, func(b *box) bool { return !b.state.get().ready })
}

// Close gives up a worker that is not to be run. After Run there is nothing
// left to close.
func (w *Worker) Close() {
	if w.listener != nil {
		_ = w.listener.Close() // of use to nobody yet
	}
	w.close()
}

func (w *Worker) close() {
	for _, d := range w.brokers {
		if err := d.publisher.Close(); err != nil {
			w.log.Warn("close broker", slog.Any("error", err))
		}
	}
	for _, db := range w.databases {
		if db != nil {
			db.Close()
		}
	}
	if w.temporal != nil {
		w.temporal.Close()
	}
}

// handlers are how many run at once for the inboxes of a database.
func handlers(cfg *config.Config, database string) (n int32) {
	for _, b := range cfg.Boxes() {
		if b.Database == database && b.Inbox != nil {
			n += int32(b.Inbox.Concurrency)
		}
	}
	return n
}

// connections are as many as the pipelines of a database use at once: each shard
// to read and to settle, each handler its own, each consumer for three polls and to
// look at the table, and a few more.
func connections(cfg *config.Config, database string) (n int32) {
	for _, b := range cfg.Boxes() {
		if b.Database != database {
			continue
		}
		n += 4
		if b.Inbox != nil {
			n += int32(b.Inbox.Concurrency) + 4*int32(b.Inbox.Consumers) + 2*int32(b.Shards)
		}
	}
	return n
}

// openPool makes a pool that connects when it is first used, of the size that is
// needed unless the url says another one.
func openPool(db config.Database, needed int32) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(string(db.URL))
	if err != nil {
		return nil, err
	}
	if !strings.Contains(string(db.URL), "pool_max_conns") {
		cfg.MaxConns = max(cfg.MaxConns, needed)
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "omnibox"
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	return pgxpool.NewWithConfig(context.Background(), cfg) //nolint:forbidigo // for its first connections alone, and it makes none
}

// ownerName is unique to this process and allowed in omni-box's locked_by.
func ownerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	clean := []byte(host)
	for i, c := range clean {
		allowed := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.'
		if !allowed {
			clean[i] = '-'
		}
	}
	return string(clean) + ":" + strconv.Itoa(os.Getpid()) + ":" + uuid.NewString()[:8]
}

func keys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
