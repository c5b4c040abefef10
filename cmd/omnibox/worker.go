package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

const workerHelp = `Relays the outboxes of the configuration, and consumes and handles its
inboxes, until it is interrupted: SIGINT or SIGTERM, after which it settles what
it has in hand, gives its leases up and ends. That takes at most shutdown.grace
(20s), also where a server does not answer: leases that it could not give up by
then run out by themselves. A second signal ends it at once.

Nothing needs to be up when it starts. What cannot be reached is tried again,
and /readyz says what it waits for; /healthz and /metrics are beside it
(http.listen, 127.0.0.1:9464). Start as many workers as you like, anywhere:
they share the work. Two on one host need different http.listen.`

func newWorker(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "worker", Short: "Relay and handle events until interrupted", Long: workerHelp,
		Example: `  OMNIBOX_DATABASE_URL=postgres://app@db/app OMNIBOX_KAFKA_BROKERS=kafka:9092 omnibox worker
  omnibox -c omnibox.yaml worker`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(a.configPath)
			if err != nil {
				return &codeError{code: exitUsage, err: fmt.Errorf("configuration is not valid:\n%w", err)}
			}
			return worker.Run(cmd.Context(), cfg, worker.Log(newLogger(a, cfg.Log)))
		},
	}
}

// newLogger writes to standard error, as the configuration says.
func newLogger(a *app, cfg config.Log) *slog.Logger {
	options := &slog.HandlerOptions{}
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err == nil {
		options.Level = level
	}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.err, options))
	}
	return slog.New(slog.NewTextHandler(a.err, options))
}
