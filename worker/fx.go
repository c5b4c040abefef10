package worker

import (
	"context"

	"go.uber.org/fx"

	"github.com/omnibox-go/omnibox/worker/config"
)

// Module runs a worker with an fx application: it starts with it and stops in
// order with it. It takes a *config.Config from the application, and gives it
// the *Worker. When the worker ends by itself, so does the application.
//
// fx gives an application 15 s to stop unless fx.StopTimeout says otherwise, and a
// worker may take its Shutdown.Grace: set it above that.
func Module(opts ...Option) fx.Option {
	return fx.Module("omnibox",
		fx.Provide(func(cfg *config.Config) (*Worker, error) { return New(cfg, opts...) }),
		fx.Invoke(func(lc fx.Lifecycle, w *Worker, app fx.Shutdowner) { lc.Append(hook(w, app)) }),
	)
}

func hook(w *Worker, app fx.Shutdowner) fx.Hook {
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	return fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				err := w.Run(ctx)
				done <- err
				if ctx.Err() == nil {
					_ = app.Shutdown(fx.ExitCode(1))
				}
			}()
			return nil
		},
		OnStop: func(stopCtx context.Context) error {
			cancel(context.Canceled)
			select {
			case err := <-done:
				return err
			case <-stopCtx.Done():
				return context.Cause(stopCtx)
			}
		},
	}
}
