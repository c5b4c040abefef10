package e2e

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/worker/config"
)

// A database that goes away while a worker runs is seen from outside: the worker
// is unready and says why, until the database is back.
func TestAWorkerWhoseDatabaseIsDownIsNotReady(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		strike, mend func(*servers.Proxy) error
	}{
		{
			"refused", func(p *servers.Proxy) error { p.Cut(); return nil }, (*servers.Proxy).Restore,
		},
		{
			"silent", (*servers.Proxy).Stall, func(p *servers.Proxy) error { p.Heal(t.Context()); return nil },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			u, err := url.Parse(b.url)
			require.NoError(t, err)
			proxy := devtest.StartProxy(t, servers.ProxyOptions{Upstream: u.Host})
			u.Host = proxy.Address()
			b.url = u.String()
			b.change = func(cfg *config.Config) { cfg.HTTP.Listen = freeAddress(t) }
			w := b.start().awaitReady()
			require.Contains(t, w.metrics(), `omnibox_status_readable{pipeline="orders"} 1`)

			require.NoError(t, c.strike(proxy))
			code, of := w.awaitError("look for due events")
			require.Equal(t, http.StatusServiceUnavailable, code)
			require.False(t, of.Ready)
			require.Equal(t, "running", of.Phase, "the pipeline goes on by itself")
			text := w.metrics()
			require.Contains(t, text, `omnibox_pipeline_ready{pipeline="orders"} 0`)
			require.Contains(t, text, `omnibox_status_readable{pipeline="orders"} 0`)
			require.NotContains(t, text, "omnibox_lag_seconds{")

			require.NoError(t, c.mend(proxy))
			w.awaitReady()
			b.enqueue(event("a", 1))
			b.awaitRecords(1)
			eventually(t, "the table can be read", func() bool {
				return strings.Contains(w.metrics(), `omnibox_status_readable{pipeline="orders"} 1`)
			})
		})
	}
}

// metrics is what /metrics says.
func (r *running) metrics() string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.http+"/metrics", nil)
	require.NoError(r.t, err)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return string(text)
}
