// Command fxapp runs a worker inside an fx application, beside whatever else the
// application does: it starts and stops with it.
//
//	OMNIBOX_DATABASE_URL=… OMNIBOX_KAFKA_BROKERS=… go run ./examples/fxapp
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

// stamp is a step: it says in a header which service sent the event.
type stamp struct{ service string }

func (stamp) Spec() pipeline.Spec { return pipeline.Spec{Name: "stamp"} }

func (s stamp) Run(_ context.Context, e *omnibox.Event) (pipeline.Result, error) {
	if e.Headers == nil {
		e.Headers = map[string]string{}
	}
	e.Headers["service"] = s.service
	return pipeline.Next, nil
}

// stopSlack is for what else the application does when it stops.
const stopSlack = 5 * time.Second

// application is everything but the beginning and the end.
func application(cfg *config.Config, log *slog.Logger) fx.Option {
	return fx.Options(
		// fx gives up after 15 s, and the worker may take its grace to stop
		fx.StopTimeout(cfg.Shutdown.Grace+stopSlack),
		fx.WithLogger(func() fxevent.Logger { return &fxevent.SlogLogger{Logger: log} }),
		fx.Supply(cfg),
		worker.Module(worker.Log(log), worker.Step("outbox", stamp{"shop"})),
	)
}

func main() {
	log := slog.Default()
	cfg, err := config.Load(os.Getenv("OMNIBOX_CONFIG"))
	if err != nil {
		log.Error("configuration is not valid", slog.Any("error", err))
		os.Exit(1)
	}
	fx.New(application(cfg, log)).Run()
}
