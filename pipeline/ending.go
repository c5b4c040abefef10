package pipeline

import "context"

// untilEnding is ctx, which ends when Ending is closed.
func (p *Pipeline) untilEnding(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if p.Ending != nil {
		go func() {
			select {
			case <-p.Ending:
				cancel(ended{Stopped})
			case <-ctx.Done():
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}
