package worker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func (w *Worker) newServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", w.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(w.metrics, promhttp.HandlerOpts{}))
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
}

// serve answers until ctx ends.
func (w *Worker) serve(ctx context.Context, server *http.Server) {
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(w.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		w.log.ErrorContext(ctx, "serve health and metrics", slog.Any("error", err))
	}
}

// readiness of one pipeline, as /readyz tells it.
type readiness struct {
	Ready       bool   `json:"ready"`
	Phase       string `json:"phase"`
	Error       string `json:"error,omitempty"`
	Destination string `json:"destination,omitempty"`
}

// readyz answers 200 when every pipeline runs and its database answers, else
// 503, and in both cases what each is at. An unreachable broker does not make a
// worker unready: it waits for it, and another worker could do no better.
func (w *Worker) readyz(rw http.ResponseWriter, _ *http.Request) {
	all := map[string]readiness{}
	for _, b := range w.boxes {
		s := b.state.get()
		r := readiness{Ready: s.ready, Phase: s.phase}
		if s.err != nil {
			r.Error = s.err.Error()
		}
		if since, open := w.brokers[b.cfg.Broker].breaker.Open(); open {
			r.Destination = "unreachable since " + since.UTC().Format(time.RFC3339)
		}
		all[b.name] = r
	}
	rw.Header().Set("Content-Type", "application/json")
	if !w.Ready() {
		rw.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(rw).Encode(all)
}
