// Command fxapp runs a worker inside an fx application, beside whatever else the
// application does: it starts and stops with it.
//
//	OMNIBOX_DATABASE_URL=… OMNIBOX_KAFKA_BROKERS=… go run ./examples/fxapp
package main

import (
	"context"
	"log/slog"
	"os"

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

func loadConfig() (*config.Config, error) { return config.Load(os.Getenv("OMNIBOX_CONFIG")) }

// application is everything but the beginning and the end.
func application(log *slog.Logger) fx.Option {
	return fx.Options(
		fx.WithLogger(func() fxevent.Logger { return &fxevent.SlogLogger{Logger: log} }),
		fx.Provide(loadConfig),
		worker.Module(worker.Log(log), worker.Step("outbox", stamp{"shop"})),
	)
}

func main() { fx.New(application(slog.Default())).Run() }
