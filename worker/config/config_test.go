package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/broker/kafka"
)

// two is a file with two pipelines, as most have it.
const two = `
databases: { main: { url: "${DATABASE_URL}" } }
brokers:   { kafka: { type: kafka, addresses: ["localhost:9092"] } }
outboxes:
  orders: { lease: 30s, batch: 200, behind_failure: skip }
  orders-eu:
    table: sales.events
    filter: { topics: [a, b] }
`

var databaseURL = []string{"DATABASE_URL=postgres://app:hunter2@db/app?sslpassword=hunter2"}

func TestFileWithDefaults(t *testing.T) {
	t.Parallel()
	c, err := Parse("omnibox.yaml", []byte(two), databaseURL)
	require.NoError(t, err)
	require.Equal(t, "postgres://app:hunter2@db/app?sslpassword=hunter2", c.Databases["main"].URL.Reveal())

	orders := c.Outboxes["orders"]
	require.Equal(t, 30*time.Second, orders.Lease)
	require.Equal(t, 200, orders.Batch)
	require.Equal(t, "skip", orders.BehindFailure)
	require.Equal(t, "outbox_events", orders.Table)
	require.Equal(t, Retry{Base: 10 * time.Second, Max: time.Hour}, orders.Retry)

	eu := c.Outboxes["orders-eu"]
	require.Equal(t, 15*time.Second, eu.Lease)
	require.Equal(t, []string{"a", "b"}, eu.Filter.Topics)
	require.Equal(t, "127.0.0.1:9464", c.HTTP.Listen)
	require.Equal(t, "omnibox", c.Temporal.IDPrefix)
	require.Nil(t, c.Brokers["kafka"].TLS)
}

func TestNoFile(t *testing.T) {
	t.Parallel()
	c, err := Parse("", nil, []string{
		"OMNIBOX_DATABASE_URL=postgres://localhost/app",
		"OMNIBOX_KAFKA_BROKERS=a:9092, b:9092",
		"OMNIBOX_OUTBOXES_OUTBOX_BATCH=100",
		"PATH=/bin",
	})
	require.NoError(t, err)
	require.Equal(t, []string{"a:9092", "b:9092"}, c.Brokers["kafka"].Addresses)
	require.Len(t, c.Outboxes, 1)
	require.Equal(t, 100, c.Outboxes["outbox"].Batch)
	require.Equal(t, "outbox_events", c.Outboxes["outbox"].Table)
}

func TestVariablesWinOverTheFile(t *testing.T) {
	t.Parallel()
	c, err := Parse("omnibox.yaml", []byte(two), append([]string{
		"OMNIBOX_OUTBOXES_ORDERS_STEP_TIMEOUT=3s",
		"OMNIBOX_OUTBOXES_ORDERS_EU_BATCH=7",
		"OMNIBOX_OUTBOXES_ORDERS_EU_FILTER_TOPICS=x,y",
		"OMNIBOX_OUTBOXES_ORDERS_EU_FILTER_AGGREGATE_TYPES=order",
		"OMNIBOX_BROKERS_KAFKA_TLS=true",
		"OMNIBOX_BROKERS_KAFKA_SASL_USERNAME=u",
		"OMNIBOX_BROKERS_KAFKA_SASL_PASSWORD=p",
		"OMNIBOX_DATABASE_URL=postgres://other/app",
		"OMNIBOX_HTTP_LISTEN=off",
		"OMNIBOX_LOG_FORMAT=",
	}, databaseURL...))
	require.NoError(t, err)
	require.Equal(t, 3*time.Second, c.Outboxes["orders"].StepTimeout)
	require.Equal(t, 200, c.Outboxes["orders"].Batch)
	require.Equal(t, 7, c.Outboxes["orders-eu"].Batch)
	require.Equal(t, []string{"x", "y"}, c.Outboxes["orders-eu"].Filter.Topics)
	require.Equal(t, []string{"order"}, c.Outboxes["orders-eu"].Filter.AggregateTypes)
	require.Len(t, c.Outboxes, 2)
	require.NotNil(t, c.Brokers["kafka"].TLS)
	require.Equal(t, "PLAIN", c.Brokers["kafka"].SASL.Mechanism)
	require.Equal(t, "postgres://other/app", c.Databases["main"].URL.Reveal())
	require.Empty(t, c.HTTP.Listen)
	require.Equal(t, "text", c.Log.Format, "an empty variable counts as not set")
}

func TestForeignVariablesAreLeftAlone(t *testing.T) {
	t.Parallel()
	_, err := Parse("omnibox.yaml", []byte(two), append([]string{
		"OMNIBOX_SERVICE_HOST=10.0.0.1", "OMNIBOX_PORT_9464_TCP_ADDR=10.0.0.1", "OMNIBOX_HTTP_SERVICE_PORT=80",
		"OMNIBOX_CONFIG=omnibox.yaml", "OMNIBOX_CACHE=/tmp", "OMNIBOXES=1",
		"OMNIBOX_TEST_DATABASE_URL=postgres://localhost/x",
	}, databaseURL...))
	require.NoError(t, err)
}

func TestEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Parse("omnibox.yaml", []byte(`databases:
  main: { url: "${NO_SUCH_VARIABLE}" }
brokers:
  kafka:
    adresses: [localhost]
    sasl: { username: u }
outboxes:
  orders:
    batch: 9000
    lease: 2s
    shards: many
    ordering: yes
    lane: fast
    databse: main
    broker: rabbit
    slice: 30
    filter: { source: x }
    retry: { base: 2h }
  Bad_Name: {}
inboxes:
  billing: {}
log: loud
`), []string{"OMNIBOX_OUTBOXES_ORDERS_BATHC=3", "OMNIBOX_KAFKA_BROKER=x:1", "OMNIBOX_HTTP_LISTEN=nowhere"})
	require.Equal(t, strings.TrimSpace(`
omnibox.yaml:2: databases.main.url: the environment has no NO_SUCH_VARIABLE; set it, or give a default: ${NO_SUCH_VARIABLE:-…}
omnibox.yaml:5: brokers.kafka.adresses: no such key; did you mean addresses?
omnibox.yaml:6: brokers.kafka.sasl.password: is required
omnibox.yaml:8: outboxes.orders: outboxes Bad_Name and orders share table outbox_events: both need claim: row and a filter
omnibox.yaml:9: outboxes.orders.batch: 9000 is out of range: 1 to 5000
omnibox.yaml:10: outboxes.orders.lease: 2s is out of range: 5s to 10m (a lease shorter than publish plus commit is taken over while its owner is still sending)
omnibox.yaml:11: outboxes.orders.shards: "many" is not a whole number
omnibox.yaml:12: outboxes.orders.ordering: "yes" is not one of key, none
omnibox.yaml:13: outboxes.orders.lane: "fast" is not one of auto, batch, workflow
omnibox.yaml:14: outboxes.orders.databse: no such key; did you mean database?
omnibox.yaml:15: outboxes.orders.broker: there is no broker "rabbit"; valid are kafka
omnibox.yaml:16: outboxes.orders.slice: "30" is not a duration; give a number with its unit, such as 5m
omnibox.yaml:17: outboxes.orders.filter.source: outbox rows have no source: filter by topics, types or aggregate_types
omnibox.yaml:18: outboxes.orders.retry: base (2h0m0s) is above max (1h0m0s)
omnibox.yaml:19: outboxes.Bad_Name: a name has 1 to 40 lower-case letters, digits and dashes
omnibox.yaml:21: inboxes.billing.group: is required: a name that all members share, such as billing
omnibox.yaml:21: inboxes.billing.topics: is required: name one or more, such as [orders]
omnibox.yaml:22: log: is a section with keys, not a single value
OMNIBOX_KAFKA_BROKER: no such key; did you mean OMNIBOX_KAFKA_BROKERS?
OMNIBOX_OUTBOXES_ORDERS_BATHC: no such key; did you mean OMNIBOX_OUTBOXES_ORDERS_BATCH?
OMNIBOX_HTTP_LISTEN: http.listen: "nowhere" is not host:port`), err.Error())
}

// trap: 9
func TestLeaseShorterThanPublishAndCommitIsRefused(t *testing.T) {
	t.Parallel()
	for lease, ok := range map[string]bool{"4999ms": false, "5s": true, "10m": true, "11m": false} {
		_, err := Parse("f", []byte(two), append([]string{"OMNIBOX_OUTBOXES_ORDERS_LEASE=" + lease}, databaseURL...))
		if ok {
			require.NoError(t, err, lease)
			continue
		}
		require.ErrorContains(t, err, "a lease shorter than publish plus commit", lease)
	}
}

func TestTwoPipelinesOnOneTable(t *testing.T) {
	t.Parallel()
	file := func(a, b string) string {
		return "databases: {main: {url: postgres://h/d}}\nbrokers: {kafka: {addresses: [\"h:1\"]}}\noutboxes:\n  a: " + a + "\n  b: " + b
	}
	for name, tt := range map[string]struct {
		a, b string
		ok   bool
	}{
		"both by row, filtered": {"{claim: row, filter: {topics: [x]}}", "{claim: row, table: public.outbox_events, filter: {topics: [y]}}", true},
		"one not filtered":      {"{claim: row, filter: {topics: [x]}}", "{claim: row}", false},
		"one by shard":          {"{claim: row, filter: {topics: [x]}}", "{filter: {topics: [y]}}", false},
		"different tables":      {"{}", "{table: other}", true},
	} {
		_, err := Parse("f", []byte(file(tt.a, tt.b)), nil)
		if tt.ok {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, "both need claim: row and a filter", name)
	}
}

func TestYAMLForms(t *testing.T) {
	t.Parallel()
	c, err := Parse("f", []byte(`---
databases:
  main: &db
    url: postgres://h/$${notvar}/${D:-dflt}
brokers: { kafka: { addresses: [ "${KAFKA_HOST:-localhost}:9092" ], tls: } }
outboxes:
  a: &a
    batch: ${BATCH}
    table: one
  b:
    <<: *a
    table: two
  c:
`), []string{"BATCH=42"})
	require.NoError(t, err)
	require.Equal(t, "postgres://h/${notvar}/dflt", c.Databases["main"].URL.Reveal())
	require.Equal(t, 42, c.Outboxes["b"].Batch)
	require.Equal(t, "two", c.Outboxes["b"].Table)
	require.Equal(t, "one", c.Outboxes["a"].Table)
	require.Equal(t, 500, c.Outboxes["c"].Batch)
	require.NotNil(t, c.Brokers["kafka"].TLS)
}

func TestBrokenYAMLNamesTheLineAndShowsNoSecret(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"syntax":    "databases:\n  main: { url: postgres://u:hunter2@h/d\nx",
		"duplicate": "databases:\n  main: { url: postgres://u:hunter2@h/d }\n  main: {}\n",
		"list":      "- a\n- b\n",
		"two":       "databases: {}\n---\nbrokers: {}\n",
		"scalar":    "hello\n",
	} {
		_, err := Parse("omnibox.yaml", []byte(text), nil)
		require.ErrorContains(t, err, "omnibox.yaml:", name)
		require.NotContains(t, err.Error(), "hunter2", name)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	file := strings.Replace(two, "databases: {", "databases: { old: {},", 1)
	c, err := Parse("f", []byte(file), append([]string{
		"OMNIBOX_BROKERS_KAFKA_SASL_USERNAME=u", "OMNIBOX_BROKERS_KAFKA_SASL_PASSWORD=hunter2",
		"OMNIBOX_DATABASES_OLD_URL=host=db user=app password=hunter2",
	}, databaseURL...))
	require.NoError(t, err)
	shown, err := c.YAML()
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).InfoContext(t.Context(), "config", slog.Any("databases", c.Databases["main"].URL))
	for _, text := range []string{string(shown), log.String(), fmt.Sprintf("%v %+v %#v", *c, *c, *c)} {
		require.NotContains(t, text, "hunter2")
	}
	require.Contains(t, string(shown), "postgres://app:xxxxx@db/app")

	again, err := Parse("effective.yaml", []byte(strings.ReplaceAll(string(shown), "[redacted]", "host=db")), nil)
	require.NoError(t, err, "what is shown is a valid file")
	require.Equal(t, c.Outboxes, again.Outboxes)
}

func TestNothingConfigured(t *testing.T) {
	t.Parallel()
	_, err := Parse("", nil, nil)
	require.EqualError(t, err, `outboxes.outbox.database: there is no database "main": add a section databases, or set OMNIBOX_DATABASE_URL
outboxes.outbox.broker: there is no broker "kafka": add a section brokers, or set OMNIBOX_KAFKA_BROKERS`)
}

func TestDatabasesAloneForTheCommandLine(t *testing.T) {
	t.Setenv("OMNIBOX_DATABASE_URL", "postgres://localhost/app")
	t.Setenv("OMNIBOX_KAFKA_BROKERS", "")
	_, err := Load("")
	require.ErrorContains(t, err, `there is no broker "kafka": add a section brokers, or set OMNIBOX_KAFKA_BROKERS`)
	_, err = LoadDatabases("")
	require.NoError(t, err)
	_, err = LoadDatabases("/no/such/file")
	require.ErrorContains(t, err, "read configuration: open /no/such/file")
}

// What the check accepts, the worker accepts: the adapter judges for both, and the
// mistakes have the names and lines of the file.
func TestBrokersAreCheckedAsTheWorkerDoes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	file := write("omnibox.yaml", `databases: { main: { url: postgres://localhost/app } }
brokers:
  kafka:
    addresses: ["localhost:9092", ":9092"]
    version: "1.0.0"
    tls:
      ca: `+dir+`/no-such.pem
      cert: `+write("cert.pem", "nothing")+`
  other:
    addresses: [localhost:9092]
    dial_timeout: 0s
    request_timeout: 1s
    tls:
      ca: `+write("ca.pem", "nothing")+`
      cert: `+dir+`/no-such.pem
      key: `+dir+`/no-such.key
      server_name: kafka
`)
	_, err := Load(file)
	require.Equal(t, strings.ReplaceAll(strings.TrimSpace(`
DIR/omnibox.yaml:4: brokers.kafka.addresses: ":9092" is not host:port
DIR/omnibox.yaml:5: brokers.kafka.version: "1.0.0" is not a version of Kafka from 2.1.0.0 on
DIR/omnibox.yaml:7: brokers.kafka.tls.ca: open DIR/no-such.pem: no such file or directory
DIR/omnibox.yaml:7: brokers.kafka.tls: cert and key go together: set both or neither
DIR/omnibox.yaml:11: brokers.other.dial_timeout: 0s is out of range: 1ms to 1m
DIR/omnibox.yaml:14: brokers.other.tls.ca: no certificate in DIR/ca.pem
DIR/omnibox.yaml:15: brokers.other.tls.cert: open DIR/no-such.pem: no such file or directory`), "DIR", dir), err.Error())
	_, err = LoadDatabases(file)
	require.NoError(t, err, "who needs the database only need not have the files")
}

func TestBrokerIsGivenToTheAdapterWhole(t *testing.T) {
	t.Parallel()
	b := Broker{
		Addresses: []string{"a:1"}, ClientID: "c", Compression: "zstd", Version: "3.6.0", DialTimeout: 1, RequestTimeout: 2,
		TLS:  &TLS{CA: "ca", Cert: "cert", Key: "key", ServerName: "name", Insecure: true},
		SASL: &SASL{Mechanism: "PLAIN", Username: "u", Password: "p"},
	}
	require.Equal(t, kafka.Config{
		Addresses: []string{"a:1"}, ClientID: "c", Compression: "zstd", Version: "3.6.0", DialTimeout: 1, RequestTimeout: 2,
		TLS:  &kafka.TLS{CAFile: "ca", CertFile: "cert", KeyFile: "key", ServerName: "name", InsecureSkipVerify: true},
		SASL: &kafka.SASL{Mechanism: "PLAIN", User: "u", Password: "p"},
	}, b.Kafka())
}

func FuzzParseNeverPanics(f *testing.F) {
	f.Add(two)
	f.Add("a: &a [*a]\n<<: 1\n? {}: b")
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = Parse("f", []byte(text), databaseURL)
	})
}

// A database has one table of a name, under however many names it goes itself.
func TestOneDatabaseUnderTwoNamesIsOne(t *testing.T) {
	t.Parallel()
	for second, refused := range map[string]bool{
		"postgres://db/app":                        true,
		"postgres://other@db/app?pool_max_conns=4": true,
		"postgres://db/billing":                    false,
		"postgres://db:5433/app":                   false,
	} {
		_, err := Parse("omnibox.yaml", []byte(`
databases: { main: { url: "postgres://db/app" }, second: { url: "`+second+`" } }
outboxes:
  orders: {}
  returns: { database: second }
`), []string{"OMNIBOX_KAFKA_BROKERS=localhost:9092"})
		if !refused {
			require.NoError(t, err, second)
			continue
		}
		require.ErrorContains(t, err, "outboxes orders and returns share table outbox_events", second)
	}
}

func TestDatabaseURLsThatNobodyUnderstands(t *testing.T) {
	t.Parallel()
	for u, want := range map[string]string{
		"postgres://u:hunter2@h:notaport/db":                    "invalid port",
		"postgres://u:hun/ter2@h/db":                            "invalid port",
		"postgres://u:hunt%er2@h/db":                            "failed to parse as URL (invalid percent-encoded token in password)",
		"postgres://u:hunter2@h/db?pool_max_conns=many":         `cannot parse pool_max_conns (strconv.ParseInt: parsing "many": invalid syntax)`,
		"postgres://u:hunter2@h/db?default_query_exec_mode=any": `invalid default_query_exec_mode (unknown value "any")`,
		"host=h password='hunter2":                              "failed to parse as keyword/value (unterminated quoted string in connection info string)",
		"hunter2":                                               "failed to parse as keyword/value (invalid keyword/value)",
	} {
		_, err := Parse("omnibox.yaml", []byte("databases:\n  main:\n    url: \""+u+"\"\n"), []string{"OMNIBOX_KAFKA_BROKERS=h:1"})
		require.EqualError(t, err, "omnibox.yaml:3: databases.main.url: cannot be read: "+want, u)
		require.NotRegexp(t, "hunter2|ter2|hunt|er2", err.Error())
	}
	_, err := Parse("", nil, []string{"OMNIBOX_DATABASE_URL=postgres://u:hunter2@h:x/db", "OMNIBOX_KAFKA_BROKERS=h:1"})
	require.EqualError(t, err, "OMNIBOX_DATABASE_URL: databases.main.url: cannot be read: invalid port")
	for _, u := range []string{"postgres:///app?host=/var/run/postgresql", "host=db user=app password=hunter2", "postgresql://a,b:5433/app?target_session_attrs=read-write"} {
		_, err := Parse("", nil, []string{"OMNIBOX_DATABASE_URL=" + u, "OMNIBOX_KAFKA_BROKERS=h:1"})
		require.NoError(t, err, u)
	}
}

func TestAMisspeltKeyIsOneMistake(t *testing.T) {
	t.Parallel()
	_, err := Parse("f", []byte("databases: {main: {urll: postgres://h/d}}\nbrokers: {kafka: {adresses: [\"h:1\"]}}\n"), nil)
	require.EqualError(t, err, "f:1: databases.main.urll: no such key; did you mean url?\nf:2: brokers.kafka.adresses: no such key; did you mean addresses?")
}
