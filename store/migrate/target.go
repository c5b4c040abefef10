package migrate

import (
	"bytes"
	"embed"
	"fmt"
	"hash/fnv"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"github.com/jackc/pgx/v5"
)

//go:embed core/*.sql outbox/*.sql inbox/*.sql adopt/*.sql
var files embed.FS

// DefaultTable and DefaultInbox are omni-box's.
const (
	DefaultTable = "outbox_events"
	DefaultInbox = "inbox_events"
)

// The kinds of tables.
const (
	kindOutbox = "outbox"
	kindInbox  = "inbox"
)

// maxName is how long an identifier may be, in bytes; Postgres cuts the rest
// off without an error, so that two names become one.
const maxName = 63

// core is the target that all tables share.
const core = "core"

// script is one version of a target.
type script struct {
	version int64
	name    string
	files   []string
}

var coreScripts = []script{
	{1, "omnibox", []string{"core/00001_omnibox.sql"}},
	{2, "enqueue", []string{"core/00002_enqueue.sql"}},
	{3, "workflows", []string{"core/00003_workflows.sql"}},
	{4, "blanks", []string{"core/00004_blanks.sql"}},
	{5, "inbox", []string{"core/00005_inbox.sql"}},
}

var outboxScripts = []script{
	{1, "table", []string{"outbox/00001_table.sql", "outbox/00001_indexes.sql", "outbox/00001_register.sql"}},
}

var inboxScripts = []script{
	{1, "table", []string{"inbox/00001_table.sql", "inbox/00001_order.sql", "outbox/00001_indexes.sql", "outbox/00001_register.sql"}},
}

func newest(scripts []script) int64 { return scripts[len(scripts)-1].version }

// table is a table of events; its methods are what the scripts ask for.
type table struct {
	Schema, Name string
	// IsInbox says that messages are landed in it, not enqueued.
	IsInbox bool
	// Partitioned says that it is created in partitions by created_at.
	Partitioned bool
	// Notify says whether inserts wake workers up.
	Notify bool
	// Concurrently is the word after "create index" on a table in use.
	Concurrently string
	// NeedsIdempotency says that idempotency keys are to be made unique.
	NeedsIdempotency bool
	// NeedsDedup says that messages are to be made unique within their group.
	NeedsDedup bool
}

// newTable is a table of a kind, as it is created.
func newTable(schema, name, kind string) table {
	return table{
		Schema: schema, Name: name, Notify: true, IsInbox: kind == kindInbox,
		NeedsIdempotency: kind == kindOutbox, NeedsDedup: kind == kindInbox,
	}
}

func (t table) kind() string {
	if t.IsInbox {
		return kindInbox
	}
	return kindOutbox
}

// KindText is the kind as an SQL literal.
func (t table) KindText() string { return literal(t.kind()) }

func (t table) scripts() []script {
	if t.IsInbox {
		return inboxScripts
	}
	return outboxScripts
}

// Key is the name under which rows of the schema omnibox refer to the table.
func (t table) Key() string { return t.Schema + "." + t.Name }

// KeyText is Key as an SQL literal.
func (t table) KeyText() string { return literal(t.Key()) }

// Table is the name in SQL.
func (t table) Table() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// TableText is Table as an SQL literal.
func (t table) TableText() string { return literal(t.Table()) }

// Sequence is that of seq, in SQL.
func (t table) Sequence() string {
	return pgx.Identifier{t.Schema, fit("", t.Name, "_seq_seq")}.Sanitize()
}

// SequenceText is Sequence as an SQL literal.
func (t table) SequenceText() string { return literal(t.Sequence()) }

// Plan is the table with the numbers that pending rows of an adopted table get.
func (t table) Plan() string {
	return pgx.Identifier{"omnibox", "numbering_" + hash(t.Key())}.Sanitize()
}

// PlanIndex is the index of Plan, in SQL.
func (t table) PlanIndex() string {
	return pgx.Identifier{"numbering_" + hash(t.Key()) + "_seq"}.Sanitize()
}

// Index is the name of an index or trigger, in SQL.
func (t table) Index(of string) string { return pgx.Identifier{t.indexName(of)}.Sanitize() }

func (t table) indexName(of string) string { return fit("", t.Name, "_"+of) }

// Dedup is the name of the index that makes messages unique, in SQL: omni-box's.
func (t table) Dedup() string { return pgx.Identifier{t.dedupName()}.Sanitize() }

func (t table) dedupName() string {
	if t.Name == DefaultInbox {
		return "idx_inbox_deduplication"
	}
	return fit("idx_", t.Name, "_deduplication")
}

// SchemaText is the schema as an SQL literal.
func (t table) SchemaText() string { return literal(t.Schema) }

// DefaultPartition is the name of the partition for times that no other has.
func (t table) DefaultPartition() string {
	return pgx.Identifier{t.Schema, fit("", t.Name, "_default")}.Sanitize()
}

// MonthText is what the name of a month's partition begins with, before year and
// month, as an SQL literal.
func (t table) MonthText() string {
	const month = "YYYYMM"
	return literal(strings.TrimSuffix(fit("", t.Name, "_p"+month), month))
}

// Open is the test for the rows of a table of omni-box that are to be adopted:
// pending ones, and in an inbox also dead ones, which could not be put back
// without a place.
func (t table) Open() string {
	if t.IsInbox {
		return "<> 'completed'"
	}
	return "= 'pending'"
}

// Constraint is the name of a check, in SQL.
func (t table) Constraint(rule string) string {
	return pgx.Identifier{fit("ck_", t.Name, "_"+rule)}.Sanitize()
}

// versions is where the table's version is kept. The hash tells a.b_c from a_b.c.
func (t table) versions() string {
	plain := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(t.Schema+"_"+t.Name), "_")
	return "omnibox.version_" + plain[:min(len(plain), 40)] + "_" + hash(t.Key())
}

const coreVersions = "omnibox.version_core"

// fit cuts name so that prefix, name and suffix make one identifier, and keeps
// cut names apart by a hash.
func fit(prefix, name, suffix string) string {
	if len(prefix)+len(name)+len(suffix) <= maxName {
		return prefix + name + suffix
	}
	tail := "_" + hash(name) + suffix
	return prefix + strings.ToValidUTF8(name[:maxName-len(prefix)-len(tail)], "") + tail
}

func hash(s string) string {
	h := fnv.New32a()
	h.Write([]byte(s))
	return fmt.Sprintf("%08x", h.Sum32())
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// parseTable splits a name, the schema of which is public unless it has one.
func parseTable(name, schema, kind string) (table, error) {
	parts := strings.Split(name, ".")
	if len(parts) == 1 {
		parts = []string{schema, name}
	}
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return table{}, fmt.Errorf("table %s: not a name such as %s or app.%[2]s", strconv.Quote(name), kind+"_events")
	}
	for _, p := range parts {
		if len(p) > maxName || strings.ContainsRune(p, 0) {
			return table{}, fmt.Errorf("table %s: a name has at most %d bytes", strconv.Quote(name), maxName)
		}
	}
	if parts[0] == "omnibox" {
		return table{}, fmt.Errorf("table %s: the schema omnibox is not for tables of events", strconv.Quote(name))
	}
	return newTable(parts[0], parts[1], kind), nil
}

// render fills a script in with a table. Core scripts ask for nothing.
func render(file string, t any) (string, error) {
	text, err := fs.ReadFile(files, file)
	if err != nil {
		return "", err
	}
	tmpl, err := template.New(path.Base(file)).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, t); err != nil {
		return "", err
	}
	return b.String(), nil
}

// renderAll fills the scripts of one version in, one after the other.
func renderAll(s script, t any) (string, error) {
	var all strings.Builder
	for _, f := range s.files {
		text, err := render(f, t)
		if err != nil {
			return "", fmt.Errorf("render %s: %w", f, err)
		}
		all.WriteString(text + "\n")
	}
	return all.String(), nil
}
