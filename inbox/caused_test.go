package inbox_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
)

// causedBy gives what Caused makes of an event in the handler of a message.
func causedBy(t *testing.T, m *inbox.Stored, e omnibox.Event) omnibox.Event {
	t.Helper()
	r := inbox.NewRouter()
	r.Fallback(func(ctx context.Context, _ inbox.Message[[]byte]) error {
		e = inbox.Caused(ctx, e)
		return nil
	})
	require.NoError(t, run(t, r, m))
	return e
}

func TestWhatAMessageCausesSaysSo(t *testing.T) {
	t.Parallel()
	m := stored("2", `{"Total": 7}`)
	require.Equal(t, omnibox.Event{Topic: "invoices", CausationID: "m-1", CorrelationID: "c-1", TraceID: "t-1"},
		causedBy(t, m, omnibox.Event{Topic: "invoices"}))

	set := omnibox.Event{CausationID: "own", CorrelationID: "own", TraceID: "own"}
	require.Equal(t, set, causedBy(t, m, set))

	m.CorrelationID, m.TraceID = "", ""
	require.Equal(t, omnibox.Event{CausationID: "m-1", CorrelationID: "m-1"}, causedBy(t, m, omnibox.Event{}))
}

func TestACauseOfALongIDIsNamedByItsRow(t *testing.T) {
	t.Parallel()
	m := stored("2", `{"Total": 7}`)
	m.CorrelationID = ""
	for id, want := range map[string]string{
		strings.Repeat("é", 64): strings.Repeat("é", 64),
		strings.Repeat("é", 65): m.ID.String(),
		"":                      m.ID.String(),
	} {
		m.MessageID = id
		e := causedBy(t, m, omnibox.Event{
			Topic: "invoices", Key: "o-1", Type: "invoice.sent", Payload: map[string]int{"n": 1},
			Aggregate: omnibox.Aggregate{Type: "invoice", ID: uuid.New()},
		})
		require.Equal(t, want, e.CausationID)
		require.Equal(t, want, e.CorrelationID)
		require.NoError(t, e.Validate())
	}
}

func TestOutsideOfAHandlerNothingIsCaused(t *testing.T) {
	t.Parallel()
	e := omnibox.Event{Topic: "invoices"}
	require.Equal(t, e, inbox.Caused(t.Context(), e))
}
