package migrate_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store/migrate"
)

func TestTheSQLFunctionReportsEveryMistake(t *testing.T) {
	t.Parallel()
	db := database(t)
	_, err := migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	call := func(changes string) error {
		_, err := db.Exec(t.Context(), fmt.Sprintf(`select omnibox.enqueue('outbox_events', %s)`, changes))
		return err
	}
	const good = `topic => ' orders ', partition_key => 'k', event_type => 'e', aggregate_type => 'a', aggregate_id => gen_random_uuid(), payload => '{"a": 1.50}'`
	require.NoError(t, call(good+`, headers => '{" h ": " v "}', scheduled_at => now() + interval '1 hour', schema_version => '1', max_attempts => 3`))
	var right bool
	require.NoError(t, db.QueryRow(t.Context(), `select topic = 'orders' and headers = '{"h": "v"}' and max_attempts = 3 and payload::text = '{"a": 1.50}'
		and scheduled_at > now() + interval '59 minutes' and seq = 1 from outbox_events`).Scan(&right))
	require.True(t, right)

	for changes, want := range map[string]string{
		"topic => repeat('x', 256), partition_key => ' ', event_type => null, aggregate_type => 'a', aggregate_id => null, payload => '[]'": "topic: has 256 characters, at most 255 are allowed; " +
			"partition_key: must not be blank; event_type: is required; aggregate_id: is required; payload: must be a JSON object",
		good + ", id => '5f7d1c1e-5a5e-11ee-8c99-0242ac120002'":    "id: must be a UUID of version 4",
		good + ", max_attempts => 0":                               "max_attempts: must be at least 1",
		good + ", scheduled_at => now() - interval '2 minutes'":    "scheduled_at: is more than 60 seconds in the past",
		good + ", scheduled_at => now() + interval '8761 hours'":   "scheduled_at: is more than 365 days ahead",
		good + `, headers => '{"a": 1}'`:                           "headers: a is not a string",
		good + `, headers => '{"a": " "}'`:                         "headers: a is blank",
		good + `, headers => '{"a": "x\ny"}'`:                      "headers: a has control characters",
		good + `, headers => '{"a": "1", "A": "2"}'`:               "headers: has keys that differ only in case or blanks",
		good + `, headers => '["a"]'`:                              "headers: must be a JSON object",
		strings.Replace(good, `'{"a": 1.50}'`, "'{}'", 1):          "payload: must not be empty",
		strings.Replace(good, `'{"a": 1.50}'`, "big.payload", 1):   "",
		strings.Replace(good, `'{"a": 1.50}'`, "large.payload", 1): "payload: has more than 1000000 bytes",
	} {
		if strings.Contains(changes, ".payload") {
			size := map[bool]int{true: 999_994 - 2, false: 999_994 - 1}[want == ""]
			changes = strings.NewReplacer("big.payload", payload(size), "large.payload", payload(size)).Replace(changes)
		}
		err := call(changes)
		if want == "" {
			require.NoError(t, err)
			continue
		}
		var e *pgconn.PgError
		require.ErrorAs(t, err, &e)
		require.Equal(t, "omnibox.enqueue: "+want, e.Message)
	}
}

// Both ways in strip the same blanks, so that a key is one key whoever writes it.
func TestBothWaysInAgreeOnBlanks(t *testing.T) {
	t.Parallel()
	db := database(t)
	_, err := migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	const statement = `select omnibox.enqueue('outbox_events', $1, $2, 'e', 'a', gen_random_uuid(), '{"a":1}', jsonb_build_object($3::text, $4::text))`
	for r := rune(1); r <= 0x3100; r++ {
		around := string(r) + "x" + string(r)
		e := omnibox.Event{
			Topic: around, Key: around, Type: "e", Aggregate: omnibox.Aggregate{Type: "a", ID: uuid.New()}, Payload: map[string]int{"a": 1},
		}
		prepared, err := omnibox.Prepare(e)
		require.NoError(t, err)
		blank := prepared[0].Key == "x"
		if !blank && r > 0x200 && r%16 != 0 && !unicode.IsOneOf([]*unicode.RangeTable{unicode.Z, unicode.C}, r) {
			continue // a sample of the letters
		}
		header := "x"
		if blank {
			header = around
		}
		var id uuid.UUID
		require.NoError(t, db.QueryRow(t.Context(), statement, around, around, header, header).Scan(&id), "%U", r)
		var topic, key, headers string
		require.NoError(t, db.QueryRow(t.Context(), "select topic, partition_key, headers from outbox_events where id = $1", id).Scan(&topic, &key, &headers))
		require.Equal(t, []string{prepared[0].Topic, prepared[0].Key, `{"x": "x"}`}, []string{topic, key, headers}, "%U", r)
		if !blank {
			continue
		}
		e.Topic, e.Key = string(r), string(r)
		require.Error(t, e.Validate())
		_, err = db.Exec(t.Context(), statement, e.Topic, e.Key, string(r), "v")
		require.ErrorContains(t, err, "topic: must not be blank; partition_key: must not be blank; headers: has a blank key", "%U", r)
		_, err = db.Exec(t.Context(), statement, "t", "k", "h", string(r))
		require.ErrorContains(t, err, "headers: h is blank", "%U", r)
	}
}

// payload is an SQL expression for an object of so many bytes more than its frame.
func payload(n int) string {
	raw, _ := json.Marshal(map[string]string{"a": strings.Repeat(" ", n)})
	return "'" + string(raw) + "'"
}

func TestTheSQLFunctionReturnsTheRowThatWasFirst(t *testing.T) {
	t.Parallel()
	db := database(t)
	_, err := migrate.Up(t.Context(), db, migrate.Options{})
	require.NoError(t, err)
	id := uuid.New()
	var first, second uuid.UUID
	const statement = `select omnibox.enqueue('outbox_events', 'orders', 'k1', 'order.placed', 'order', gen_random_uuid(), '{"n":1}', idempotency_key => 'once', id => $1)`
	require.NoError(t, db.QueryRow(t.Context(), statement, id).Scan(&first))
	require.NoError(t, db.QueryRow(t.Context(), statement, uuid.New()).Scan(&second))
	require.Equal(t, id, first)
	require.Equal(t, id, second)
	_, err = db.Exec(t.Context(), strings.Replace(statement, "'once'", "'other'", 1), id) // trap: 28
	require.ErrorContains(t, err, "outbox_events_pkey")
}
