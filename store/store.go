package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed sql/*.sql sql/inbox/*.sql
var files embed.FS

// Store is the worker's side of one table of events: of an outbox or, where
// Config has a Group, of an inbox. It is safe for concurrent use.
type Store struct {
	db          *pgxpool.Pool
	cfg         Config
	table       string // schema.table, unquoted: the key of the companion tables
	partitioned bool
	sql         map[string]string
	reading     string   // the settings of a read
	rowClaims   sync.Map // of *rowClaim: those that may hold rows
	swept       atomic.Pointer[time.Time]
	keyed       atomic.Pointer[bool] // see byKeys
}

// Claim modes.
const (
	// ClaimShard leases slots; rows are read without a write.
	ClaimShard = "shard"
	// ClaimRow leases every row; needed beside another relay on the table, and
	// for two pipelines on one table.
	ClaimRow = "row"
)

// Config of a Store. Zero values take the defaults.
type Config struct {
	// Table, optionally with its schema. Defaults to outbox_events, of an inbox to
	// inbox_events.
	Table string
	// Pipeline that works on the table. Defaults to "outbox", of an inbox to
	// "inbox".
	Pipeline string
	// Group of consumers whose messages are landed and handled. It makes the table
	// an inbox. Several groups on one table need ClaimRow, and a key that waits in
	// one of them waits in all.
	Group string
	// Owner names this worker in leases: letters, digits and .-/: only.
	// Required.
	Owner string
	// Claim is ClaimShard or ClaimRow. Defaults to ClaimShard.
	Claim string
	// Lease is how long a claim lasts unless extended. Defaults to 15 s.
	Lease time.Duration
	// Ordering is "key" or "none". Defaults to "key".
	Ordering string
	// BehindFailure is what becomes of the events behind a failed one of their
	// key: with "block" they wait until it is completed or dead, with "follow"
	// they become dead letters with it, with "skip" they overtake it. Defaults
	// to "block".
	BehindFailure string
	// OnComplete is "keep" or "delete". Defaults to "keep".
	OnComplete string
	// ReadAhead is how many events of a slot an owner may have in hand at
	// once; so many are under suspicion after an owner did not finish.
	// Defaults to 1500.
	ReadAhead int
	// MaxFetchBytes bounds the size of what one fetch returns, as it is stored:
	// Postgres compresses large payloads, and what repeats itself may be ten
	// times as large in memory. Defaults to 16 MiB.
	MaxFetchBytes int
	// Filter leaves out events; only with ClaimRow may other pipelines take
	// them.
	Filter Filter
	// Escalation gives events that fail a workflow of their own. The zero value
	// does not: they back off in their rows.
	Escalation Escalation
}

// Escalation bounds the workflows of events that failed.
type Escalation struct {
	// Most events that may have one at once while they are retried.
	Most int
	// Parked is how many dead events may have one at once.
	Parked int
	// ParkFor is how long the workflow of a dead event waits for a person.
	ParkFor time.Duration
}

// Filter of events; empty lists match everything.
type Filter struct {
	Topics         []string
	Types          []string
	AggregateTypes []string
}

// Margin is the part of a lease in which its owner sends no more.
func (c Config) Margin() time.Duration { return max(c.Lease/5, time.Second) }

// WithDefaults fills in what is zero.
func (c Config) WithDefaults() Config {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	if c.Group != "" {
		def(&c.Table, "inbox_events")
		def(&c.Pipeline, "inbox")
	}
	def(&c.Table, "outbox_events")
	def(&c.Pipeline, "outbox")
	def(&c.Claim, ClaimShard)
	def(&c.Ordering, "key")
	def(&c.BehindFailure, "block")
	def(&c.OnComplete, "keep")
	if c.Lease == 0 {
		c.Lease = 15 * time.Second
	}
	if c.ReadAhead == 0 {
		c.ReadAhead = 1500
	}
	if c.MaxFetchBytes == 0 {
		c.MaxFetchBytes = 16 << 20
	}
	return c
}

// ErrNoTable says that the configured table is not there.
var ErrNoTable = errors.New("table does not exist")

// Open finds the table. It does not change the database and holds no
// connection.
func Open(ctx context.Context, db *pgxpool.Pool, cfg Config) (*Store, error) {
	cfg = cfg.WithDefaults()
	var schema, name string
	var partitioned, inbox bool
	err := db.QueryRow(ctx, `select n.nspname, c.relname, c.relkind = 'p',
			exists (select from pg_attribute where attrelid = c.oid and attname = 'consumer_group' and not attisdropped)
		from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.oid = to_regclass($1)`, QuoteTable(cfg.Table)).Scan(&schema, &name, &partitioned, &inbox)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("open %s: %w: run `omnibox migrate up`", cfg.Table, ErrNoTable)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", cfg.Table, hint(err))
	}
	if inbox != (cfg.Group != "") {
		return nil, fmt.Errorf("open %s: %w", cfg.Table, kindMistake(inbox))
	}
	quoted := pgx.Identifier{schema, name}.Sanitize()
	s := &Store{db: db, cfg: cfg, table: schema + "." + name, partitioned: partitioned, reading: reading(quoted)}
	return s, s.loadStatements(quoted)
}

// kindMistake says what is wrong with a table of the other kind.
func kindMistake(inbox bool) error {
	if inbox {
		return errors.New("it is an inbox: a group is needed, whose messages it holds; an outbox is another table")
	}
	return errors.New("it has no column consumer_group, so it is no inbox, but perhaps an outbox: an inbox is another table, which `omnibox migrate up` creates")
}

// isInbox tells whether messages are landed in the table, rather than enqueued.
func (s *Store) isInbox() bool { return s.cfg.Group != "" }

// QuoteTable quotes a table name that may have a schema: a.b becomes "a"."b".
func QuoteTable(table string) string {
	return pgx.Identifier(strings.Split(table, ".")).Sanitize()
}
