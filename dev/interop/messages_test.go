package interop

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
)

var converters = []string{"raw", "schema-versioned", "envelope"}

// digits is a payload whose numbers are lost by whoever reads them as floats; but
// 1.50 is 1.5 for Python already.
const digits = `{"n":9007199254740993,"price":1.50,"tiny":1e-7,"text":"ü \"quoted\" \\ \n","list":[1,2.25,null,true],"payload":{"nested":{}}}`

// Messages of omni-box, whatever its converter, are landed and handled with all
// that it says of them.
func TestMessagesOfOmniBoxAreHandled(t *testing.T) {
	t.Parallel()
	for _, converter := range converters {
		t.Run(converter, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.migrate()
			bare := arguments{"event_type": eventType, "key": "a", "aggregate_id": uuid.NewString(), "payload": json.RawMessage(digits)}
			full := maps.Clone(bare)
			maps.Copy(full, arguments{
				"schema_version": "2.1", "trace_id": "t1", "correlation_id": "c1", "causation_id": "k1", "headers": map[string]string{"tenant": "north"},
			})
			ids := ask[[]string](b, "publish", arguments{"converter": converter, "events": []arguments{bare, full}})
			b.start(b.config(1), b.handling(nil))
			got := b.awaitHandled(2)

			want := []fields{
				{MessageID: ids[0], Source: b.topic, Type: eventType, SchemaVersion: defaultVersion(converter)},
				{
					MessageID: ids[1], Source: b.topic, Type: eventType, SchemaVersion: "2.1", TraceID: "t1", CorrelationID: "c1", CausationID: "k1",
					Headers: map[string]string{"tenant": "north"},
				},
			}
			for i := range want {
				require.Equal(t, want[i], got[i].fields)
				requireDigits(t, string(got[i].Payload))
			}
		})
	}
}

// requireDigits requires the payload digits, as it is after Python has read it.
func requireDigits(t *testing.T, payload string) {
	t.Helper()
	require.JSONEq(t, digits, payload)
	require.Contains(t, payload, "9007199254740993", "no float can have it")
}

// Messages of ours, whatever the converter, are landed and handled by omni-box, in
// a table of its own.
func TestOmniBoxHandlesMessagesOfOurs(t *testing.T) {
	t.Parallel()
	for _, converter := range converters {
		t.Run(converter, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			ask[any](b, "create", nil)
			_, err := migrate.Up(t.Context(), b.db, migrate.Options{})
			require.NoError(t, err)
			bare := omnibox.Event{
				Topic: b.topic, Key: "a", Type: eventType, Payload: json.RawMessage(digits),
				Aggregate: omnibox.Aggregate{Type: "order", ID: uuid.New()},
			}
			full := bare
			full.SchemaVersion, full.TraceID, full.CorrelationID, full.CausationID = "2.1", "t1", "c1", "k1"
			full.Headers = map[string]string{"tenant": "north"}
			var done store.Enqueued
			require.NoError(t, pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
				done, err = store.Outbox{}.Enqueue(t.Context(), tx, bare, full)
				return err
			}))
			b.outbox = converter
			cfg := b.config(0)
			cfg.Inboxes = nil
			b.start(cfg)

			for _, r := range ask[[]arguments](b, "consume", arguments{"messages": 2, "handle": true}) {
				require.Equal(t, arguments{"message_id": r["message_id"], "committed": true, "processed": true, "duplicate": false}, r)
			}
			require.Equal(t, 2, b.value("select count(distinct message_id) from python_effects"))
			got := byID(ask[[]told](b, "rows", nil))
			first, second := done.Events[0].ID.String(), done.Events[1].ID.String()
			known := map[string]string{"event_id": first, "event_type": eventType}
			require.Equal(t, fields{MessageID: first, Source: b.topic, Type: eventType, SchemaVersion: defaultVersion(converter), Headers: known}, got[first].fields)
			known = maps.Clone(known)
			maps.Copy(known, map[string]string{
				"event_id": second, "tenant": "north", "schema_version": "2.1", "trace_id": "t1", "correlation_id": "c1", "causation_id": "k1",
			})
			require.Equal(t, fields{
				MessageID: second, Source: b.topic, Type: eventType, SchemaVersion: "2.1", TraceID: "t1", CorrelationID: "c1", CausationID: "k1", Headers: known,
			}, got[second].fields)
			for _, e := range got {
				require.Equal(t, "completed", e.Status)
				if converter == "raw" {
					// omni-box takes every object with a member payload for an envelope
					require.JSONEq(t, `{"nested":{}}`, string(e.Payload))
					continue
				}
				requireDigits(t, string(e.Payload))
			}
		})
	}
}

// defaultVersion is what a converter says of an event without a schema version.
func defaultVersion(converter string) string {
	if converter == "envelope" {
		return "1.0.0"
	}
	return ""
}
