package config

import (
	"fmt"
	"os"
	"time"

	"github.com/goccy/go-yaml"
)

// Config is everything a worker and the command line need to know.
//
// The tags are the reference: default, min, max, enum and pattern are applied
// by Load, and docs/configuration.md is checked against them.
type Config struct {
	// Databases by name.
	Databases map[string]Database `yaml:"databases"`
	// Brokers by name.
	Brokers map[string]Broker `yaml:"brokers"`
	// Outboxes by the name of their pipeline. Without any, and without inboxes,
	// there is one, named outbox, with every default.
	Outboxes map[string]Outbox `yaml:"outboxes"`
	// Inboxes by the name of their pipeline.
	Inboxes map[string]Inbox `yaml:"inboxes"`
	// Temporal is the control plane.
	Temporal Temporal `yaml:"temporal"`
	// HTTP serves health and metrics.
	HTTP HTTP `yaml:"http"`
	// Log of the process, on standard error.
	Log Log `yaml:"log"`
	// Shutdown of a worker.
	Shutdown Shutdown `yaml:"shutdown"`

	origins origins
}

// Database is a Postgres database.
type Database struct {
	// URL as libpq and pgx read it; pool_max_conns and
	// default_query_exec_mode=exec (for PgBouncer) go into its query. Required.
	URL Secret `yaml:"url"`
}

// Broker is what events are published to.
type Broker struct {
	// Type of the broker.
	Type string `yaml:"type" default:"kafka" enum:"kafka"`
	// Addresses of some brokers of the cluster, as host:port. Required.
	Addresses []string `yaml:"addresses"`
	// ClientID that the brokers see in their logs and quotas.
	ClientID string `yaml:"client_id" default:"omnibox"`
	// TLS is used when this section is there, even if empty.
	TLS *TLS `yaml:"tls,omitempty"`
	// SASL is used when this section is there.
	SASL *SASL `yaml:"sasl,omitempty"`
	// Compression of record batches.
	Compression string `yaml:"compression" default:"none" enum:"none,gzip,snappy,lz4,zstd"`
	// Version of the newest Kafka whose protocol is spoken, such as 3.6.0.
	// Empty: the newest that both sides know.
	Version string `yaml:"version" pattern:"([0-9]+\\.[0-9]+\\.[0-9]+(\\.[0-9]+)?)?" example:"3.6.0"`
	// DialTimeout bounds one attempt to connect.
	DialTimeout time.Duration `yaml:"dial_timeout" default:"3s" min:"1ms" max:"1m"`
	// RequestTimeout is how long a broker may take to have a batch replicated;
	// the batch is sent again 2 s later.
	RequestTimeout time.Duration `yaml:"request_timeout" default:"5s" min:"1ms" max:"5m"`
}

// TLS of a connection to a broker.
type TLS struct {
	// CA is a PEM file with the authorities to trust. Empty: the system's.
	CA string `yaml:"ca"`
	// Cert is a PEM file with the client's certificate.
	Cert string `yaml:"cert"`
	// Key is a PEM file with the client's key.
	Key string `yaml:"key"`
	// ServerName to find in certificates. Empty: the host of each address.
	ServerName string `yaml:"server_name"`
	// Insecure accepts any certificate: for tests only.
	Insecure bool `yaml:"insecure" default:"false"`
}

// SASL is how a client proves who it is.
type SASL struct {
	// Mechanism of the exchange.
	Mechanism string `yaml:"mechanism" default:"PLAIN" enum:"PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"`
	// Username to prove. Required.
	Username string `yaml:"username"`
	// Password of that user. Required.
	Password Secret `yaml:"password"`
}

// Values of Pipeline.Lane.
const (
	LaneAuto     = "auto"
	LaneBatch    = "batch"
	LaneWorkflow = "workflow"
)

// Pipeline is what outboxes and inboxes have in common.
type Pipeline struct {
	// Database is the name of one of databases.
	Database string `yaml:"database" default:"main"`
	// Broker is the name of one of brokers.
	Broker string `yaml:"broker" default:"kafka"`
	// Lane that healthy events take: a workflow for each, the batch lane for all,
	// or by traffic (auto): workflows while there are few, within their budget.
	// In lanes auto and workflow an event that failed gets a workflow of its own.
	Lane string `yaml:"lane" default:"auto" enum:"auto,batch,workflow"`
	// WorkflowBudget is how many workflows a minute healthy events may start
	// in lane auto; 0 for none.
	WorkflowBudget int `yaml:"workflow_budget" default:"60" min:"0" max:"100000"`
	// CalmThreshold is how few events of a shard must be due for them to take the
	// workflow lane, in lane auto.
	CalmThreshold int `yaml:"calm_threshold" default:"20" min:"0" max:"5000"`
	// MaxEscalations is how many events that failed may have a workflow at once;
	// others back off in their rows.
	MaxEscalations int `yaml:"max_escalations" default:"100" min:"0" max:"10000"`
	// MaxParked is how many dead events may have a workflow at once that waits
	// for a person; of others there is the dead letter.
	MaxParked int `yaml:"max_parked" default:"100" min:"0" max:"10000"`
	// ParkFor is how long the workflow of a dead event waits for a person.
	ParkFor time.Duration `yaml:"park_for" default:"24h" min:"1m" max:"720h"`
	// TemporalDown is what happens while Temporal cannot be reached: rows wait,
	// or the worker goes on by itself (direct).
	TemporalDown string `yaml:"temporal_down" default:"wait" enum:"wait,direct"`
	// Shards is how many pollers share the table's 64 slots. It can change
	// while workers run.
	Shards int `yaml:"shards" default:"4" min:"1" max:"64"`
	// Claim leases slots (shard) or single rows (row). Row is required beside
	// another program that works on the table and for several pipelines on one
	// table.
	Claim string `yaml:"claim" default:"shard" enum:"shard,row"`
	// Lease is how long a claim lasts unless extended. It must outlast the
	// publish and the commit of a batch.
	Lease time.Duration `yaml:"lease" default:"15s" min:"5s" max:"10m" why:"a lease shorter than publish plus commit is taken over while its owner is still sending"`
	// Batch is how many events are handled and settled together.
	Batch int `yaml:"batch" default:"500" min:"1" max:"5000"`
	// Ordering of events: by topic and key, or none.
	Ordering string `yaml:"ordering" default:"key" enum:"key,none"`
	// BehindFailure is what becomes of the events behind a failed one of their
	// key: they wait until it is completed or dead (block), become dead letters
	// with it when it dies (follow), or overtake it (skip).
	BehindFailure string `yaml:"behind_failure" default:"block" enum:"block,follow,skip"`
	// OnComplete keeps a completed row or deletes it. With delete an
	// idempotency key is forgotten with its row, and a completed event cannot
	// be replayed. The ids of an inbox's messages are remembered all the same.
	OnComplete string `yaml:"on_complete" default:"keep" enum:"keep,delete"`
	// Retry of an event that failed by its own fault.
	Retry Retry `yaml:"retry"`
	// StepTimeout bounds one run of a step that sets no timeout of its own.
	StepTimeout time.Duration `yaml:"step_timeout" default:"30s" min:"1ms" max:"1h"`
	// Slice is how long one run of the batch lane goes on before it reports
	// back.
	Slice time.Duration `yaml:"slice" default:"5m" min:"1s" max:"1h"`
}

// Outbox is a pipeline from one table to one broker.
type Outbox struct {
	// Table of events, optionally with its schema.
	Table    string `yaml:"table" default:"outbox_events" pattern:"[^.]{1,63}(\\.[^.]{1,63})?" example:"outbox_events or sales.outbox_events"`
	Pipeline `yaml:",inline"`
	// Converter makes the message: the payload alone (raw), with its schema
	// version (schema-versioned), or in omni-box's envelope (envelope).
	Converter string `yaml:"converter" default:"raw" enum:"raw,schema-versioned,envelope"`
	// Filter takes only some events of the table.
	Filter Filter `yaml:"filter"`
}

// Filter of events; an empty list matches everything.
type Filter struct {
	// Topics to take.
	Topics []string `yaml:"topics"`
	// Types of event to take.
	Types []string `yaml:"types"`
	// AggregateTypes to take.
	AggregateTypes []string `yaml:"aggregate_types"`
}

// Empty reports whether the filter matches everything.
func (f Filter) Empty() bool {
	return len(f.Topics)+len(f.Types)+len(f.AggregateTypes) == 0
}

// Retry is the backoff between attempts: half to full of base × 2^attempts,
// at most max.
type Retry struct {
	// Base of the backoff; 0s retries at once.
	Base time.Duration `yaml:"base" default:"10s" min:"0s" max:"24h"`
	// Max is the longest backoff.
	Max time.Duration `yaml:"max" default:"1h" min:"0s" max:"168h"`
}

// Temporal is the control plane. What is empty here comes from the TEMPORAL_*
// variables and the profile file of Temporal's own tools.
type Temporal struct {
	// Address of the frontend, as host:port. Empty: TEMPORAL_ADDRESS, else
	// localhost:7233.
	Address string `yaml:"address"`
	// Namespace. Empty: TEMPORAL_NAMESPACE, else default.
	Namespace string `yaml:"namespace"`
	// UI is the address of Temporal's web UI, such as https://temporal.example.com,
	// for links to workflows. Empty: http://localhost:8233 where the server is on
	// this host, else there are no links.
	UI string `yaml:"ui" pattern:"(https?://[^ ?#]+)?" example:"https://temporal.example.com"`
	// IDPrefix begins the id of every workflow, so that two installations can
	// share a namespace.
	IDPrefix string `yaml:"id_prefix" default:"omnibox" pattern:"[A-Za-z0-9._-]{1,40}" example:"omnibox"`
}

// HTTP serves /healthz, /readyz and /metrics.
type HTTP struct {
	// Listen is the address to serve on, or off.
	Listen string `yaml:"listen" default:"127.0.0.1:9464"`
}

// Log of the process.
type Log struct {
	// Level is the least severe level that is written.
	Level string `yaml:"level" default:"info" enum:"debug,info,warn,error"`
	// Format of a line.
	Format string `yaml:"format" default:"text" enum:"text,json"`
}

// Shutdown of a worker.
type Shutdown struct {
	// Grace is how long work under way may take to finish and give up its leases.
	// When a quarter of it is left, 5s at most, the contexts of steps and handlers
	// end: their events are free at once then, and not counted as failed.
	Grace time.Duration `yaml:"grace" default:"20s" min:"1s" max:"10m"`
}

// Load reads the file at path and the environment. An empty path reads the
// environment alone: OMNIBOX_DATABASE_URL and OMNIBOX_KAFKA_BROKERS suffice.
// The error joins a *MistakeError for every mistake.
func Load(path string) (*Config, error) {
	c, problems, err := load(path)
	if err != nil {
		return nil, err
	}
	if err := problems.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// LoadDatabases is Load for programs that only need the databases: what is
// wrong or missing with brokers is not an error.
func LoadDatabases(path string) (*Config, error) {
	c, problems, err := load(path)
	if err != nil {
		return nil, err
	}
	if err := problems.without("brokers", "outboxes.*.broker", "inboxes.*.broker").err(); err != nil {
		return nil, err
	}
	return c, nil
}

// load also reads the files that the configuration names.
func load(path string) (*Config, problems, error) {
	var data []byte
	if path != "" {
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return nil, nil, fmt.Errorf("read configuration: %w", err)
		}
	}
	c, found := parse(path, data, os.Environ())
	if c != nil {
		found = append(found, c.checkFiles(found)...)
	}
	return c, found, nil
}

// Parse is Load with the file's content and the environment, as KEY=value,
// given. The name is for error messages. Files that the configuration names are
// not looked at.
func Parse(name string, data []byte, environ []string) (*Config, error) {
	c, problems := parse(name, data, environ)
	if err := problems.err(); err != nil {
		return nil, err
	}
	return c, nil
}

func parse(name string, data []byte, environ []string) (*Config, problems) {
	env := variables(environ)
	root, found := readDocument(name, data)
	if len(found) > 0 {
		return nil, found
	}
	found = expandAll(root, "", env)
	found = append(found, overlay(root, env)...)
	if len(fieldsOf(root.field("outboxes")))+len(fieldsOf(root.field("inboxes"))) == 0 {
		root.put("outboxes", "").put("outbox", "")
	}
	d := decoder{origins: origins{}, misspelt: map[string]bool{}}
	c := new(Config)
	d.decode(root, "", c)
	c.origins = d.origins
	if c.HTTP.Listen == "off" { // for the program an empty address says so
		c.HTTP.Listen = ""
	}
	found = append(found, d.problems...)
	return c, append(found, c.validate(found, d.misspelt)...)
}

// YAML is the effective configuration, without secrets.
func (c *Config) YAML() ([]byte, error) {
	return yaml.MarshalWithOptions(c, yaml.Indent(2), yaml.IndentSequence(true))
}
