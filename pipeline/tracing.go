package pipeline

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/omnibox-go/omnibox"
)

// Tracing makes a span of each event that was tried, from its fetch until it
// was settled. Its parent is the one that the producer put into the event's
// headers as W3C trace context, if any.
func Tracing(p trace.TracerProvider) Finisher {
	return &tracing{p.Tracer("github.com/omnibox-go/omnibox")}
}

type tracing struct{ trace.Tracer }

// Finish makes the span, with its true start.
func (t *tracing) Finish(ctx context.Context, o omnibox.Outcome, took time.Duration) {
	if o.Verdict == omnibox.Released {
		return
	}
	e, end := o.Event, time.Now()
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier(e.Headers))
	_, span := t.Start(ctx, "omnibox "+e.Type, trace.WithTimestamp(end.Add(-took)), trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(
			attribute.String("messaging.destination.name", e.Topic),
			attribute.String("messaging.message.id", e.ID.String()),
			attribute.String("omnibox.verdict", string(o.Verdict)),
			attribute.Int("omnibox.attempts", o.Attempts),
		))
	if o.Error != "" {
		span.SetStatus(codes.Error, o.Error)
	}
	span.End(trace.WithTimestamp(end))
}
