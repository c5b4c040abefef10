package inbox

import (
	"cmp"
	"context"
	"unicode/utf8"

	"github.com/omnibox-go/omnibox"
)

type causeKey struct{}

// withCause makes m the cause of what is done under the context.
func withCause(ctx context.Context, m *Meta) context.Context {
	return context.WithValue(ctx, causeKey{}, m)
}

// Caused marks an event as caused by the message that is being handled under
// ctx: its CausationID is the message's id, CorrelationID and TraceID are those of
// the message. A message without a CorrelationID begins one, with its id. Fields
// that e has set are left alone, and so is all of e where no message is handled,
// so that code which serves requests and messages alike may always call it.
//
// The id is the MessageID or, where that is longer than an event may name, the
// ID of the row.
func Caused(ctx context.Context, e omnibox.Event) omnibox.Event {
	m, handling := ctx.Value(causeKey{}).(*Meta)
	if !handling {
		return e
	}
	return m.Caused(e)
}

// Caused marks an event as caused by the message m, as the function Caused does.
// It is for handlers of many messages.
func (m *Meta) Caused(e omnibox.Event) omnibox.Event {
	id := m.MessageID
	if n := utf8.RuneCountInString(id); n == 0 || n > min(omnibox.MaxCausationID, omnibox.MaxCorrelationID) {
		id = m.ID.String()
	}
	e.CausationID = cmp.Or(e.CausationID, id)
	e.CorrelationID = cmp.Or(e.CorrelationID, m.CorrelationID, id)
	e.TraceID = cmp.Or(e.TraceID, m.TraceID)
	return e
}
