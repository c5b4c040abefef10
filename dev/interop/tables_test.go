package interop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/store"
)

// published are messages that omni-box publishes, n of them.
func (b *bed) published(n int) (ids []string) {
	b.t.Helper()
	events := make([]arguments, n)
	for i := range events {
		events[i] = arguments{
			"event_type": eventType, "key": "a", "aggregate_id": uuid.NewString(), "payload": map[string]int{"n": i},
			"schema_version": "2.1", "trace_id": "t1",
		}
	}
	return ask[[]string](b, "publish", arguments{"converter": "raw", "events": events})
}

// A table that omni-box has made, with rows that it has landed, becomes ours: what
// is pending is handled, what is completed stays so, and what comes again is known.
func TestATableOfOmniBoxIsAdopted(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ask[any](b, "create", nil)
	ids := b.published(5)
	ask[any](b, "consume", arguments{"messages": 2, "handle": true})
	ask[any](b, "consume", arguments{"messages": 3, "handle": false})
	applied := b.migrate().Applied
	require.True(t, applied[len(applied)-1].Adopted)

	stop := b.start(b.config(0), b.handling(nil))
	for _, m := range b.awaitHandled(3) {
		i := slices.Index(ids, m.MessageID) // without their keys, they wait for nobody
		require.GreaterOrEqual(t, i, 2)
		require.Equal(t, fields{
			MessageID: ids[i], Source: b.topic, Type: eventType, SchemaVersion: "2.1", TraceID: "t1",
			Headers: map[string]string{"event_id": ids[i], "event_type": eventType, "schema_version": "2.1", "trace_id": "t1"},
		}, m.fields)
		require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, i), string(m.Payload))
	}
	b.await("all completed", "select bool_and(status = 'completed') from inbox_events")
	for _, e := range ask[[]told](b, "rows", nil) {
		require.Equal(t, "completed", e.Status, "for omni-box, too")
	}
	stop()

	// Our consumer lands for the same group. Even if that begins again, what
	// omni-box has landed is known.
	b.forgetOffsets()
	b.exec("truncate handled")
	late := b.published(1)
	b.start(b.config(1), b.handling(nil))
	require.Equal(t, late[0], b.awaitHandled(1)[0].MessageID)
	require.Equal(t, 6, b.value("select count(*) from inbox_events"))
}

// omni-box goes on to land messages in a table that we have made.
func TestOmniBoxLandsInATableOfOurs(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.migrate()
	ids := b.published(3)
	b.start(b.config(0), b.handling(nil))
	for range 2 { // the second time with a group that has no offsets: all are known
		for _, r := range ask[[]arguments](b, "consume", arguments{"messages": 3, "handle": false}) {
			require.Equal(t, true, r["committed"])
		}
		b.forgetOffsets()
	}
	for _, m := range b.awaitHandled(3) {
		require.Contains(t, ids, m.MessageID)
	}
	b.await("all completed", "select bool_and(status = 'completed') and count(*) = 3 from inbox_events")
}

// Whatever we land, omni-box can read, and goes on: a single row that it refuses
// would stop the table.
func TestOmniBoxReadsEveryRowOfOurs(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.migrate()
	strange := b.strange()
	b.produce(strange...)
	stop := b.start(b.config(1), b.handling(func(m inbox.Meta) error {
		switch m.Key {
		case "fails":
			return errors.New("not today")
		case "dies":
			return omnibox.Permanent(errors.New("never"))
		case "waits":
			return omnibox.RetryAt(m.CreatedAt.AddDate(0, 0, 300))
		}
		return nil
	}))
	b.await("all were tried", `select count(*) = $1 and bool_and(status <> 'pending' or scheduled_at > now()) from inbox_events`, len(strange))
	stop()

	everything := ask[[]told](b, "rows", nil)
	require.Len(t, everything, len(strange))
	states := map[string]int{}
	for _, e := range everything {
		states[e.Status]++
	}
	require.Equal(t, 2, states["pending"], "fails and waits: %s", b.text(`select string_agg(partition_key || ': ' || coalesce(last_error, ''), '; ')
		from inbox_events where status = 'pending'`))
	require.Positive(t, states["completed"])
	require.Equal(t, b.value("select count(*) from inbox_events where status = 'failed'"), states["failed"])
	require.Greater(t, states["failed"], 2)

	// The same rows before they were handled.
	b.exec(`update inbox_events set status = 'pending', completed_at = null, scheduled_at = created_at, attempts_made = 0,
		locked_at = null, locked_by = null where status <> 'failed'`)
	require.Len(t, ask[[]told](b, "fetch", nil), len(strange)-states["failed"])
	ask[any](b, "process", nil)
	require.Zero(t, b.value("select count(*) from inbox_events where status = 'pending'"))
	require.Equal(t, len(strange)-states["failed"], b.value("select count(*) from python_effects"))
}

// A dead message that an operator of omni-box puts back has its row handled, or is
// dead again.
func TestOmniBoxPutsBackWhatIsDead(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.migrate()
	b.produce(&kgo.Record{Key: []byte("a"), Value: []byte("garbage")}, &kgo.Record{Key: []byte("dies"), Value: []byte(`{"n":1}`)})
	stop := b.start(b.config(1), b.handling(func(m inbox.Meta) error {
		if m.Key == "dies" {
			return omnibox.Permanent(errors.New("never"))
		}
		return nil
	}))
	b.await("both are dead", "select count(*) = 2 from inbox_events where status = 'failed'")
	stop()
	for _, e := range ask[[]told](b, "rows", nil) {
		require.Equal(t, true, ask[any](b, "requeue", arguments{"message_id": e.MessageID}))
	}
	require.Len(t, ask[[]told](b, "fetch", nil), 2)
	b.start(b.config(0), b.handling(nil))
	b.await("both are handled", "select bool_and(status = 'completed') from inbox_events")
	require.Len(t, b.awaitHandled(2), 2)
	require.Equal(t, 2, b.value("select count(*) from omnibox.dead_letters where state = 'open'"), "nobody has told omnibox")
	s := b.store()
	report, err := s.Replay(t.Context(), store.ReplayParams{By: "test"})
	require.NoError(t, err)
	require.Zero(t, report.Replayed, "what is completed is not put back")
}

func (b *bed) store() *store.Store {
	b.t.Helper()
	box, _ := b.config(0).Box(inboxName)
	s, err := store.Open(b.t.Context(), b.db, box.Store("test"))
	require.NoError(b.t, err)
	return s
}

// strange are messages at the edges of what we take.
func (b *bed) strange() []*kgo.Record {
	of := func(key, value string, headers ...string) *kgo.Record {
		r := &kgo.Record{Key: []byte(key), Value: []byte(value)}
		for i := 0; i < len(headers); i += 2 {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
		}
		return r
	}
	long := strings.Repeat("ü", 512)
	records := []*kgo.Record{
		of("plain", `{"n":1}`),
		of("fails", `{"n":1}`),
		of("dies", `{"n":1}`),
		of("waits", `{"n":1}`),
		of("text", "hello, this is no JSON", "content-type", "text/plain"),
		of("binary", "\xff\x00\x01", "content-type", "application/x-protobuf"),
		of("empty body", "", "content-type", "text/plain"),
		of("array", `[1,2,3]`),
		of("scalar", `"x"`),
		of("empty object", `{}`),
		of("garbage", "\xff\x00\x01"),
		of("half", `{"n":`),
		{Key: []byte("tombstone")},
		{Value: []byte(`{"no":"key"}`)},
		of("\xff\xfe", `{"n":1}`),
		of(strings.Repeat("k", 300), `{"n":1}`),
		of("nul", `{"text":"\u0000"}`),
		of("surrogate", `{"text":"\ud83d"}`),
		of("blank header", `{"n":1}`, "tenant", " "),
		of("long header", `{"n":1}`, "tenant", long),
		of("too long header", `{"n":1}`, "tenant", long+"ü"),
		of("two cases", `{"n":1}`, "Tenant", "a", "tenant", "b"),
		of("control in header", `{"n":1}`, "tenant", "a\nb"),
		of("tab in header", `{"n":1}`, "tenant", "a\tb"),
		of("no-break space", `{"n":1}`, "tenant", "\u00a0\u2003"),
		of("odd blanks", `{"n":1}`, "event_type", "\u001f", "event_id", "\u2028"),
		of("bytes in header", `{"n":1}`, "tenant", "\xff"),
		of("long type", `{"n":1}`, "event_type", strings.Repeat("t", 101)),
		of("long id", `{"n":1}`, "event_id", strings.Repeat("i", 256)),
		of("large number", `{"n":1e22}`),
		of("huge number", `{"n":1e5000}`),
		of("digits", `{"n":`+strings.Repeat("7", 5000)+`}`),
		of("small number", `{"n":1e-5000}`),
		of("negative zero", `{"n":-0.0}`),
		of("deep", `{"n":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`}`),
		of("deeper", `{"n":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`),
		of("large", `{"n":"`+strings.Repeat("x", 900_000)+`"}`),
		of("envelope", `{"schema_version":"1","payload":{"n":1}}`),
		of("empty envelope", `{"schema_version":"1","payload":{}}`),
	}
	many := of("many headers", `{"n":1}`)
	for i := range 101 {
		many.Headers = append(many.Headers, kgo.RecordHeader{Key: fmt.Sprint("h", i), Value: []byte("v")})
	}
	return append(records, many)
}
