package worker_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker/membroker"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// nothing is a configuration of which nothing can be reached.
func nothing(t *testing.T, listen string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("", nil, []string{
		"OMNIBOX_DATABASE_URL=postgres://nobody@127.0.0.1:1/none?connect_timeout=1",
		"OMNIBOX_KAFKA_BROKERS=127.0.0.1:1", "OMNIBOX_TEMPORAL_ADDRESS=127.0.0.1:1",
		"OMNIBOX_HTTP_LISTEN=" + listen,
	})
	require.NoError(t, err)
	return cfg
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// With everything down a worker is alive, says what it waits for, and stops
// when it is told to.
//
// trap: T12
func TestWithNothingUpItWaitsVisiblyAndStops(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	cfg := nothing(t, address)
	w, err := worker.New(cfg)
	require.NoError(t, err)
	go func() { done <- w.Run(ctx) }()

	var ready map[string]struct {
		Ready        bool
		Phase, Error string
	}
	require.Eventually(t, func() bool {
		code, body := get(t, "http://"+address+"/readyz")
		return code == http.StatusServiceUnavailable && json.Unmarshal([]byte(body), &ready) == nil && ready["outbox"].Error != ""
	}, time.Minute, 50*time.Millisecond)
	require.Equal(t, "opening the table", ready["outbox"].Phase)
	require.False(t, ready["outbox"].Ready)
	require.NotContains(t, ready["outbox"].Error, "goroutine")

	code, _ := get(t, "http://"+address+"/healthz")
	require.Equal(t, http.StatusOK, code)
	code, metrics := get(t, "http://"+address+"/metrics")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, metrics, `omnibox_pipeline_ready{pipeline="outbox"} 0`)

	cancel()
	require.NoError(t, <-done)
}

// trap: 41 (two workers in one process: no metric is registered twice)
func TestTwoWorkersInOneProcess(t *testing.T) {
	t.Parallel()
	for range 2 {
		w, err := worker.New(nothing(t, "off"), worker.Publisher("kafka", membroker.New()))
		require.NoError(t, err)
		defer w.Close()
	}
}

func TestOptionsMustFitTheConfiguration(t *testing.T) {
	t.Parallel()
	_, err := worker.New(nothing(t, "off"), worker.Step("order", nothingStep{}))
	require.ErrorContains(t, err, `pipeline "order"`)
	require.ErrorContains(t, err, "outbox", "it says what there is")
	_, err = worker.New(nothing(t, "off"), worker.Publisher("rabbit", membroker.New()))
	require.ErrorContains(t, err, `broker "rabbit"`)
	_, err = worker.New(nothing(t, "off"), worker.Step("outbox", nothingStep{}, nothingStep{}))
	require.ErrorContains(t, err, `two steps are called "nothing"`)
}

type nothingStep struct{}

func (nothingStep) Spec() pipeline.Spec { return pipeline.Spec{Name: "nothing"} }
func (nothingStep) Run(context.Context, *omnibox.Event) (pipeline.Result, error) {
	return pipeline.Next, nil
}

func TestAnAddressInUseNamesTheSetting(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, err = worker.New(nothing(t, l.Addr().String()))
	require.ErrorContains(t, err, "http.listen")
}

func TestModuleIsComplete(t *testing.T) {
	t.Parallel()
	require.NoError(t, fx.ValidateApp(fx.NopLogger, fx.Supply(nothing(t, "off")), worker.Module()))
}

func TestModuleStartsAndStopsWithTheApplication(t *testing.T) {
	t.Parallel()
	app := fx.New(fx.NopLogger, fx.Supply(nothing(t, "off")), worker.Module())
	require.NoError(t, app.Start(t.Context()))
	require.NoError(t, app.Stop(t.Context()))
}

// lines hands out what is written, until somebody has read it or the test is over.
type lines struct {
	said chan string
	over <-chan struct{}
}

func (l lines) Write(p []byte) (int, error) {
	select {
	case l.said <- string(p):
	case <-l.over:
	}
	return len(p), nil
}

// A program that gives the worker no logger reads its troubles all the same.
func TestTheDefaultLoggerIsTheProgramsOwn(t *testing.T) {
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := make(chan string)
	slog.SetDefault(slog.New(slog.NewTextHandler(lines{said: said, over: ctx.Done()}, nil)))
	done := make(chan error, 1)
	cfg := nothing(t, "off")
	go func() { done <- worker.Run(ctx, cfg, worker.Publisher("kafka", membroker.New())) }()
	for {
		select {
		case line := <-said:
			if !strings.Contains(line, "opening the table, trying again") {
				continue
			}
		case <-time.After(time.Minute):
			require.Fail(t, "it is silent")
		}
		break
	}
	cancel()
	require.NoError(t, <-done)
}
