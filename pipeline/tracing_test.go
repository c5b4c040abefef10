package pipeline_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/omnibox-go/omnibox/pipeline"
)

// recorder is a tracer that keeps what was started.
type recorder struct{ spans []span }

type span struct {
	name   string
	parent trace.SpanContext
	config trace.SpanConfig
}

func (r *recorder) provider() trace.TracerProvider { return provider{recorder: r} }

type provider struct {
	noop.TracerProvider
	recorder *recorder
}

func (p provider) Tracer(string, ...trace.TracerOption) trace.Tracer {
	return tracer{recorder: p.recorder}
}

type tracer struct {
	noop.Tracer
	recorder *recorder
}

func (t tracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	t.recorder.spans = append(t.recorder.spans, span{name, trace.SpanContextFromContext(ctx), trace.NewSpanStartConfig(opts...)})
	return ctx, noop.Span{}
}

func TestTracingContinuesTheProducersTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed()

		r := &recorder{}
		b.cfg.Finishers = []pipeline.Finisher{pipeline.Tracing(r.provider())}
		e := event("a", 1)
		e.Headers = map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
		b.table.Enqueue(e)
		b.broker.SetDelay(time.Second)
		began := time.Now()
		b.drain(t)
		require.Len(t, r.spans, 1)
		s := r.spans[0]
		require.Equal(t, "omnibox order.placed", s.name)
		require.Equal(t, "0af7651916cd43dd8448eb211c80319c", s.parent.TraceID().String())
		require.Equal(t, began, s.config.Timestamp())
	})
}
