package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/demo/billing"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker/config"
)

// invoicing is the second service, as the demo sees it: its process, and its tables.
type invoicing struct {
	billing.Books
	box     *store.Store // the inbox
	process *servers.Process
	file    string // its configuration
	listen  string
	killed  billing.Place // where the books were when it was killed
}

// billingPrefix is that of the workflow ids of the second service.
func (s *stack) billingPrefix() string { return s.prefix + "-billing" }

// openInvoicing makes the tables of the second service and starts its process.
func (s *stack) openInvoicing(ctx context.Context) (*invoicing, error) {
	since := time.Now()
	db, err := pgxpool.New(context.WithoutCancel(ctx), s.billingURL)
	if err != nil {
		return nil, err
	}
	s.closeLater(func(context.Context) error { db.Close(); return nil })
	port, err := servers.FreePort()
	if err != nil {
		return nil, err
	}
	i := &invoicing{
		Books: billing.Books{DB: db}, file: filepath.Join(s.dir, "billing.yaml"), listen: "127.0.0.1:" + strconv.Itoa(port),
	}
	if err := i.Create(ctx); err != nil {
		return nil, err
	}
	if err := i.configure(ctx, s); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	i.process, err = servers.StartProgram(ctx, servers.ProgramOptions{
		Name: "billing", Dir: s.dir,
		Command: func(ctx context.Context) *exec.Cmd { return billing.Command(ctx, self, i.file, s.invoices) },
	})
	if err != nil {
		return nil, s.missing("billing", "it is this program, started again", err)
	}
	s.closeServer(i.process)
	if err := i.awaitReady(ctx); err != nil {
		return nil, s.missing("billing", "see "+i.process.LogFile(), err)
	}
	s.up("Billing", fmt.Sprintf("a second service, process %d, topic %s", i.process.Pid(), s.invoices), since)
	return i, nil
}

// configure writes the configuration of the service, and opens its inbox by it.
func (i *invoicing) configure(ctx context.Context, s *stack) error {
	text, err := billing.Settings{
		DatabaseURL: s.billingURL, Brokers: s.brokers, TemporalAddress: s.temporal.Address(), Prefix: s.billingPrefix(),
		Orders: s.orders, Listen: i.listen,
	}.File()
	if err != nil {
		return err
	}
	if err := os.WriteFile(i.file, text, 0o600); err != nil {
		return err
	}
	cfg, err := config.Parse(i.file, text, nil)
	if err != nil {
		return err
	}
	box, _ := cfg.Box(billing.Inbox)
	i.box, err = store.Open(ctx, i.DB, box.Store("demo"))
	return err
}

// awaitReady waits until the process works.
func (i *invoicing) awaitReady(ctx context.Context) error {
	return poll(ctx, func(ctx context.Context) (bool, error) {
		if !i.process.Running() {
			return false, errors.New("the process has ended")
		}
		resp, err := i.get(ctx, "/readyz")
		if err != nil {
			return false, nil //nolint:nilerr // it does not listen yet
		}
		return resp.StatusCode == http.StatusOK, resp.Body.Close()
	})
}

func (i *invoicing) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.listen+path, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true // a connection that is kept would be one to a process that is killed
	return http.DefaultClient.Do(req)
}

// again is how many messages the process has got that were in the inbox already,
// from its metrics.
func (i *invoicing) again(ctx context.Context) (int, error) {
	resp, err := i.get(ctx, "/metrics")
	if err != nil {
		return 0, fmt.Errorf("read metrics of billing: %w", err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		const series = `omnibox_inbox_messages_total{pipeline="` + billing.Inbox + `",result="duplicate"} `
		if n, found := strings.CutPrefix(lines.Text(), series); found {
			all, err := strconv.ParseFloat(n, 64)
			return int(all), err
		}
	}
	return 0, lines.Err()
}

// letters are the places of what is dead in the inbox.
func (i *invoicing) letters(ctx context.Context) ([]place, error) {
	page, err := i.box.ListDead(ctx, store.ListDeadParams{Filter: store.DeadFilter{State: store.DeadOpen}, Limit: 100})
	if err != nil {
		return nil, err
	}
	var places []place
	for _, l := range page.Letters {
		dead, err := i.box.ShowDead(ctx, store.ShowDeadParams{ID: store.DeadID{Letter: l.ID}})
		if err != nil {
			return nil, err
		}
		places = append(places, placeOf(dead.Row))
	}
	return places, nil
}

// placeOf is where the message of a row of an inbox was in its topic.
func placeOf(r *store.Row) place {
	if r == nil || r.Partition == nil || r.Offset == nil {
		return place{-1, -1}
	}
	return place{int32(*r.Partition), *r.Offset}
}

// billed is what the tables of the service show, and what its inbox dropped.
func (sh *show) billed(ctx context.Context) (billed, error) {
	b, i := sh.bill, sh.invoicing
	b.invoices, b.unsent, b.announced = nil, 0, sh.stack.announced.all()
	all, err := i.Read(ctx)
	if err != nil {
		return b, err
	}
	for _, v := range all {
		b.invoices = append(b.invoices, delivery{order: v.Order, customer: v.Customer, number: v.Ordinal})
		if v.Status != string(omnibox.StatusCompleted) {
			b.unsent++
		}
	}
	if b.again, err = i.again(ctx); err != nil {
		return b, err
	}
	b.letters, err = i.letters(ctx)
	return b, err
}
