package main

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/worker/config"
)

// nothing is a configuration of which nothing can be reached.
func nothing(t *testing.T) *config.Config {
	t.Helper()
	cfg, err := config.Parse("", nil, []string{
		"OMNIBOX_DATABASE_URL=postgres://nobody@127.0.0.1:1/none?connect_timeout=1", "OMNIBOX_KAFKA_BROKERS=127.0.0.1:1",
		"OMNIBOX_TEMPORAL_ADDRESS=127.0.0.1:1", "OMNIBOX_HTTP_LISTEN=off",
	})
	require.NoError(t, err)
	return cfg
}

func TestApplicationIsComplete(t *testing.T) {
	t.Parallel()
	require.NoError(t, fx.ValidateApp(application(nothing(t), slog.New(slog.DiscardHandler))))
}

func TestApplicationStartsAndStopsWithNothingUp(t *testing.T) {
	t.Parallel()
	cfg := nothing(t)
	app := fx.New(application(cfg, slog.New(slog.DiscardHandler)))
	require.Greater(t, app.StopTimeout(), cfg.Shutdown.Grace)
	require.NoError(t, app.Start(t.Context()))
	require.NoError(t, app.Stop(t.Context()))
}

func TestStampKeepsOtherHeaders(t *testing.T) {
	t.Parallel()
	e := &omnibox.Event{Headers: map[string]string{"traceparent": "x"}}
	for range 2 {
		result, err := stamp{"shop"}.Run(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, pipeline.Next, result)
	}
	require.Equal(t, map[string]string{"traceparent": "x", "service": "shop"}, e.Headers)
}
