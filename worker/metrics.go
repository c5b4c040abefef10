package worker

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/pipeline"
)

// eventMetrics counts what became of events.
type eventMetrics struct {
	events   *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	messages *prometheus.CounterVec
}

func newEventMetrics(r prometheus.Registerer) *eventMetrics {
	m := &eventMetrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "omnibox_events_total", Help: "Events settled, by verdict.",
		}, []string{"pipeline", "verdict"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "omnibox_event_duration_seconds", Help: "From fetch to settled, of delivered events.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"pipeline"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "omnibox_inbox_messages_total", Help: "Messages consumed, by what became of them: landed, duplicate, unreadable.",
		}, []string{"pipeline", "result"}),
	}
	r.MustRegister(m.events, m.seconds, m.messages)
	return m
}

// of gives the metrics of one pipeline.
func (m *eventMetrics) of(name string) pipeline.Finisher {
	s := &pipelineMetrics{seconds: m.seconds.WithLabelValues(name), events: map[omnibox.Verdict]prometheus.Counter{}}
	for _, v := range []omnibox.Verdict{omnibox.Completed, omnibox.Skipped, omnibox.Retry, omnibox.Dead, omnibox.Released} {
		s.events[v] = m.events.WithLabelValues(name, string(v))
	}
	return s
}

// landed counts the messages of a poll.
func (m *eventMetrics) landed(name string, n inbox.Landed) {
	for result, count := range map[string]int{"landed": n.New, "duplicate": n.Duplicates, "unreadable": n.Unreadable} {
		m.messages.WithLabelValues(name, result).Add(float64(count))
	}
}

type pipelineMetrics struct {
	events  map[omnibox.Verdict]prometheus.Counter
	seconds prometheus.Observer
}

// Finish counts an event once its outcome is in its row.
func (s *pipelineMetrics) Finish(_ context.Context, o omnibox.Outcome, took time.Duration) {
	s.events[o.Verdict].Inc()
	if o.Verdict == omnibox.Completed {
		s.seconds.Observe(took.Seconds())
	}
}
