package worker

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/omnibox-go/omnibox/store"
)

// boxCollector reads how the tables stand when metrics are scraped. Every
// replica reports the same, since the database is asked, by its clock.
type boxCollector struct {
	boxes []*box
}

// scrapeTimeout keeps a slow database from holding up the other metrics.
const scrapeTimeout = 2 * time.Second

var (
	pipelineLabel = []string{"pipeline"}
	descReady     = prometheus.NewDesc("omnibox_pipeline_ready", "1 while this worker works for the pipeline and its database answers.", pipelineLabel, nil)
	descOpen      = prometheus.NewDesc("omnibox_destination_unreachable", "1 while this worker waits for the pipeline's destination.", pipelineLabel, nil)
	descReadable  = prometheus.NewDesc("omnibox_status_readable", "1 when this scrape could read how the table stands.", pipelineLabel, nil)
	descBacklog   = prometheus.NewDesc("omnibox_backlog_events", "Events that are due, counted up to 10,000.", pipelineLabel, nil)
	descLag       = prometheus.NewDesc("omnibox_lag_seconds", "Age of the oldest due event.", pipelineLabel, nil)
	descScheduled = prometheus.NewDesc("omnibox_scheduled_events", "Events that fall due later, retries included, counted up to 10,000.", pipelineLabel, nil)
	descPaused    = prometheus.NewDesc("omnibox_pipeline_paused", "1 while the pipeline is paused.", pipelineLabel, nil)
	descHolds     = prometheus.NewDesc("omnibox_held_keys", "Keys that wait, by reason, counted up to 10,000.", []string{"pipeline", "reason"}, nil)
	descDead      = prometheus.NewDesc("omnibox_dead_letters", "Open dead letters, by class, counted up to 10,000.", []string{"pipeline", "class"}, nil)
	descConsumed  = prometheus.NewDesc("omnibox_consumer_lag_messages", "Messages of an assigned partition that have not been landed, as its consumer last told.", []string{"pipeline", "topic", "partition"}, nil)
	descHeldBack  = prometheus.NewDesc("omnibox_consumer_paused", "1 while the consumer of a partition is held back.", []string{"pipeline", "topic", "partition"}, nil)
)

// Describe sends the descriptions.
func (c *boxCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descReady, descOpen, descReadable, descBacklog, descLag, descScheduled, descPaused, descHolds, descDead, descConsumed, descHeldBack} {
		out <- d
	}
}

// Collect asks the databases, once a pipeline and all at a time: one that does
// not answer hides nothing of another.
func (c *boxCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout) //nolint:forbidigo // a collector is given no context
	defer cancel()
	var wg sync.WaitGroup
	for _, b := range c.boxes {
		wg.Go(func() { collectBox(ctx, out, b) })
	}
	wg.Wait()
}

func collectBox(ctx context.Context, out chan<- prometheus.Metric, b *box) {
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, b.name)
	}
	now := b.state.get()
	gauge(descReady, number(now.ready))
	_, open := b.breaker.Open()
	gauge(descOpen, number(open))
	if now.store == nil { // the table has not been found yet
		gauge(descReadable, 0)
		return
	}
	status, err := now.store.Status(ctx)
	gauge(descReadable, number(err == nil))
	if err != nil {
		b.log.WarnContext(ctx, "read status for metrics", slog.Any("error", err))
		return
	}
	collectStatus(out, b.name, status)
	if b.cfg.Inbox == nil {
		return
	}
	consumers, err := now.store.Consumers(ctx)
	if err != nil {
		b.log.WarnContext(ctx, "read consumers for metrics", slog.Any("error", err))
	}
	collectConsumers(out, b.name, consumers)
}

func collectConsumers(out chan<- prometheus.Metric, name string, all []store.ConsumerPartition) {
	for _, p := range all {
		if p.Partition == store.NoPartition {
			continue
		}
		gauge := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, name, p.Topic, strconv.Itoa(int(p.Partition)))
		}
		gauge(descConsumed, float64(p.Lag()))
		gauge(descHeldBack, number(p.Paused))
	}
}

func collectStatus(out chan<- prometheus.Metric, name string, s store.Status) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{name}, labels...)...)
	}
	gauge(descBacklog, float64(s.Backlog.N))
	gauge(descLag, s.Lag.Seconds())
	gauge(descScheduled, float64(s.Scheduled.N))
	gauge(descPaused, number(s.Paused != nil))
	for _, h := range s.Holds {
		gauge(descHolds, float64(h.Keys.N), h.Reason)
	}
	for _, d := range s.Dead {
		gauge(descDead, float64(d.Letters.N), string(d.ErrorClass))
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
