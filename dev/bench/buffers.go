package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/dev/bench/lab"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
)

// smallBacklog is that of the smaller of two fetches; buffersRatio is how much
// more the larger one may read.
const (
	smallBacklog = 10_000
	buffersRatio = 1.3
)

// buffers count what a fetch reads: it must not depend on what there is.
func buffers() []Variant {
	return []Variant{
		{
			Name: "fetch-small", Title: fmt.Sprintf("fetch of %d, small backlog", batch), Once: true,
			run: func(ctx context.Context, s Setup) (Sample, error) {
				return runBuffers(ctx, s, outboxTable, smallBacklog)
			},
		},
		{
			Name: "fetch-large", Title: fmt.Sprintf("fetch of %d, large backlog", batch), Against: "fetch-small", Once: true,
			Goals: []Goal{{Figure: Buffers, AtMost: buffersRatio}},
			run:   func(ctx context.Context, s Setup) (Sample, error) { return runBuffers(ctx, s, outboxTable, s.Backlog) },
		},
		{
			Name: "fetch-small-inbox", Title: fmt.Sprintf("fetch of %d from an inbox, small backlog", batch), Once: true,
			run: func(ctx context.Context, s Setup) (Sample, error) {
				return runBuffers(ctx, s, inboxTable, smallBacklog)
			},
		},
		{
			Name: "fetch-large-inbox", Title: fmt.Sprintf("fetch of %d from an inbox, large backlog", batch), Against: "fetch-small-inbox", Once: true,
			Goals: []Goal{{Figure: Buffers, AtMost: buffersRatio}},
			run:   func(ctx context.Context, s Setup) (Sample, error) { return runBuffers(ctx, s, inboxTable, s.Backlog) },
		},
	}
}

// boxTable is what differs between a fetch from an outbox and from an inbox.
type boxTable struct {
	name    string
	backlog string // statement that fills it
	inbox   bool
}

var (
	outboxTable = boxTable{name: migrate.DefaultTable, backlog: "backlog"}
	inboxTable  = boxTable{name: migrate.DefaultInbox, backlog: "backlog_inbox", inbox: true}
)

// runBuffers fills a box with immediate, scheduled and held events, beside as
// many completed ones, and has the store fetch once.
func runBuffers(ctx context.Context, s Setup, table boxTable, backlog int) (_ Sample, err error) {
	b, err := s.Lab.Box(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close(ctx)) }()
	if _, err := b.DB.Exec(ctx, statement(table.backlog), pgx.StrictNamedArgs{"topic": b.Topic, "events": backlog}); err != nil {
		return nil, fmt.Errorf("write backlog: %w", err)
	}
	if _, err := b.DB.Exec(ctx, statement("backlog_holds"), pgx.StrictNamedArgs{"topic": b.Topic, "table": "public." + table.name}); err != nil {
		return nil, fmt.Errorf("hold keys: %w", err)
	}
	if err := b.Settle(ctx); err != nil {
		return nil, err
	}
	plans, err := fetchExplained(ctx, b, table)
	if err != nil {
		return nil, err
	}
	return Sample{Backlog: float64(backlog), Buffers: plans.buffers()}, nil
}

// fetchExplained has the store fetch over a connection that explains what it
// executes, so that what is measured is what the store really does.
func fetchExplained(ctx context.Context, b *lab.Box, table boxTable) (*plans, error) {
	cfg, err := pgxpool.ParseConfig(b.URL)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = 1
	seen := &plans{}
	cfg.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { seen.note(n.Message) }
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement("explain_all"))
		return err
	}
	db, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	conf := store.Config{Owner: "bench"}
	if table.inbox {
		conf.Group = b.Topic
	}
	st, err := store.Open(ctx, db, conf)
	if err != nil {
		return nil, err
	}
	claim, err := st.Claim(ctx, activities.ShardSlots(0, 1))
	if err != nil {
		return nil, err
	}
	defer claim.Release(ctx) //nolint:errcheck // the database goes anyway
	seen.reset()
	events, _, err := claim.Fetch(ctx, batch)
	if err != nil {
		return nil, err
	}
	if len(events) != batch {
		return nil, fmt.Errorf("fetched %d events", len(events))
	}
	return seen, seen.check(table.name)
}

// plans are those of the statements that a connection has executed.
type plans struct {
	mu  sync.Mutex
	all []plan
	err error
}

// plan is what auto_explain tells of a statement, or of a part of it.
type plan struct {
	Text string `json:"Query Text"`
	Plan node   `json:"Plan"`
}

type node struct {
	Type     string `json:"Node Type"`
	Relation string `json:"Relation Name"`
	Hit      int    `json:"Shared Hit Blocks"`
	Read     int    `json:"Shared Read Blocks"`
	Plans    []node
}

// note takes a message of auto_explain: a duration, and a plan in JSON.
func (p *plans) note(message string) {
	_, text, found := strings.Cut(message, "plan:")
	if !found {
		return
	}
	var one plan
	err := json.Unmarshal([]byte(text), &one)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all, p.err = append(p.all, one), errors.Join(p.err, err)
}

func (p *plans) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = nil
}

// buffers of all statements.
func (p *plans) buffers() (sum float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.all {
		sum += float64(one.Plan.Hit + one.Plan.Read)
	}
	return sum
}

// check makes sure that plans were seen, and none that reads all of a table.
func (p *plans) check(table string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil || len(p.all) == 0 {
		return fmt.Errorf("%d plans: %w", len(p.all), errors.Join(p.err))
	}
	for _, one := range p.all {
		if one.Plan.scans(table) {
			return fmt.Errorf("a sequential scan of the table: %s", one.Text)
		}
	}
	return nil
}

// scans tells whether a node, or one below it, reads all of a table.
func (n node) scans(table string) bool {
	if n.Type == "Seq Scan" && n.Relation == table {
		return true
	}
	for _, child := range n.Plans {
		if child.scans(table) {
			return true
		}
	}
	return false
}
