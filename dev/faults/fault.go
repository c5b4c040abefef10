package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/omnibox-go/omnibox/dev/servers"
)

// fault is one way to break things. strike breaks and mends again; when it returns
// everything runs, if not well yet.
type fault struct {
	name   string
	strike func(ctx context.Context, r *run, hit *Hit) error
}

// faults are all there are.
var faults = []fault{
	{"kill a worker", killWorker},
	{"kill a worker, start it late", killWorkerStartLate},
	{"kill both workers", killWorkers},
	{"freeze a worker for two leases", freezeWorker},
	{"restart a worker", restartWorker},
	{"restart Postgres", restart(postgres)},
	{"crash Postgres", crash(postgres)},
	{"terminate connections", terminateConnections},
	{"cut off Postgres", onNetwork(toPostgres, cut)},
	{"stall Postgres", onNetwork(toPostgres, stall)},
	{"stall replies of Postgres", onNetwork(toPostgres, stallReplies)},
	{"restart Kafka", restart(kafka)},
	{"crash Kafka", crash(kafka)},
	{"cut off Kafka", onNetwork(toKafka, cut)},
	{"stall Kafka", onNetwork(toKafka, stall)},
	{"stall replies of Kafka", onNetwork(toKafka, stallReplies)},
	{"restart Temporal", restart(temporal)},
	{"cut off Temporal", onNetwork(toTemporal, cut)},
	{"stall Temporal", onNetwork(toTemporal, stall)},
	{"slow network", slowNetwork},
}

// deck deals faults as cards, so that each comes as often as the others.
type deck struct {
	random *rand.Rand
	only   string
	cards  []fault
}

func (d *deck) next() fault {
	for len(d.cards) == 0 {
		for _, i := range d.random.Perm(len(faults)) {
			if strings.Contains(faults[i].name, d.only) {
				d.cards = append(d.cards, faults[i])
			}
		}
	}
	card := d.cards[0]
	d.cards = d.cards[1:]
	return card
}

// between gives a time up to two leases: some outages outlast what was claimed
// before them, and some do not.
func (r *run) between() time.Duration {
	return time.Second + time.Duration(r.random.Int64N(int64(2*r.Lease)))
}

func (r *run) someWorker() *servers.Process { return r.workers[r.random.IntN(len(r.workers))] }

func killWorker(ctx context.Context, r *run, hit *Hit) error {
	w, err := r.holder(ctx)
	if err != nil {
		return err
	}
	if err := r.kill(ctx, w, hit); err != nil {
		return err
	}
	return w.Start(ctx)
}

// killWorkerStartLate leaves everything to the other worker for a while.
func killWorkerStartLate(ctx context.Context, r *run, hit *Hit) error {
	w, err := r.holder(ctx)
	if err != nil {
		return err
	}
	if err := r.kill(ctx, w, hit); err != nil {
		return err
	}
	if err := r.awaitFlow(ctx); err != nil {
		return err
	}
	return w.Start(ctx)
}

func killWorkers(ctx context.Context, r *run, hit *Hit) error {
	if _, err := r.holder(ctx); err != nil {
		return err
	}
	for _, w := range r.workers {
		if err := r.kill(ctx, w, hit); err != nil {
			return err
		}
	}
	for _, w := range r.workers {
		if err := w.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// freezeWorker freezes a worker with results under way: Kafka, or the database of an
// inbox, is slow enough for some to be. When the worker wakes, it learns that they
// were written, and would settle rows that have been others' since.
func freezeWorker(ctx context.Context, r *run, _ *Hit) error {
	w, way := r.someWorker(), r.box.slow(r)
	if err := way.Latency(500*time.Millisecond, 0); err != nil {
		return err
	}
	pause(ctx, time.Second)
	if err := w.Pause(); err != nil {
		return err
	}
	way.Heal(ctx)
	pause(ctx, 2*r.Lease)
	return w.Resume()
}

func restartWorker(ctx context.Context, r *run, _ *Hit) error { return r.someWorker().Restart(ctx) }

func postgres(r *run) *servers.Process { return r.Servers.Postgres.Process }
func temporal(r *run) *servers.Process { return r.Servers.Temporal.Process }
func kafka(r *run) *servers.Process    { return r.Servers.Kafka.Process }

func toPostgres(r *run) *servers.Proxy { return r.Servers.ToPostgres }
func toTemporal(r *run) *servers.Proxy { return r.Servers.ToTemporal }
func toKafka(r *run) *servers.Proxy    { return r.Servers.ToKafka }

func restart(of func(*run) *servers.Process) func(context.Context, *run, *Hit) error {
	return func(ctx context.Context, r *run, _ *Hit) error { return of(r).Restart(ctx) }
}

func crash(of func(*run) *servers.Process) func(context.Context, *run, *Hit) error {
	return func(ctx context.Context, r *run, _ *Hit) error {
		if err := of(r).Kill(); err != nil {
			return err
		}
		return of(r).Start(ctx)
	}
}

func terminateConnections(ctx context.Context, r *run, _ *Hit) error {
	var n int
	err := r.query(ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity
		where application_name like 'omnibox%' and datname = current_database()`, &n)
	if err == nil && n == 0 {
		return errors.New("omnibox has no connections")
	}
	return err
}

// outage breaks a network and gives the way to mend it.
type outage func(ctx context.Context, p *servers.Proxy) (mend func() error, err error)

func cut(_ context.Context, p *servers.Proxy) (func() error, error) {
	p.Cut()
	return p.Restore, nil
}

func stall(ctx context.Context, p *servers.Proxy) (func() error, error) {
	return func() error { p.Heal(ctx); return nil }, p.Stall()
}

// stallReplies leaves the outcome of what is sent unknown to the sender.
func stallReplies(ctx context.Context, p *servers.Proxy) (func() error, error) {
	return func() error { p.Heal(ctx); return nil }, p.StallReplies()
}

func onNetwork(to func(*run) *servers.Proxy, strike outage) func(context.Context, *run, *Hit) error {
	return func(ctx context.Context, r *run, _ *Hit) error {
		mend, err := strike(ctx, to(r))
		if err != nil {
			return err
		}
		pause(ctx, r.between())
		return mend()
	}
}

func slowNetwork(ctx context.Context, r *run, _ *Hit) error {
	proxies := []*servers.Proxy{toPostgres(r), toTemporal(r), toKafka(r)}
	delay := 20*time.Millisecond + time.Duration(r.random.Int64N(int64(80*time.Millisecond)))
	for _, p := range proxies {
		if err := p.Latency(delay, delay/2); err != nil {
			return err
		}
	}
	pause(ctx, r.between())
	for _, p := range proxies {
		p.Heal(ctx)
	}
	return nil
}

// holder gives a worker that holds slots: its death shows how soon they move.
// Where rows are leased one by one none does, and any worker is as good.
func (r *run) holder(ctx context.Context) (*servers.Process, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, flowLimit, fmt.Errorf("no worker has held a slot for %s", flowLimit))
	defer cancel()
	for ; ctx.Err() == nil; pause(ctx, 50*time.Millisecond) {
		for _, i := range r.random.Perm(len(r.workers)) {
			slots, err := r.slotsOf(ctx, r.workers[i].Pid())
			if err != nil {
				return nil, err
			}
			if len(slots) > 0 || !r.leasesSlots() {
				return r.workers[i], nil
			}
		}
	}
	return nil, context.Cause(ctx)
}

// kill kills a worker and remembers which slots it had.
func (r *run) kill(ctx context.Context, w *servers.Process, hit *Hit) error {
	slots, err := r.slotsOf(ctx, w.Pid())
	if err != nil {
		return err
	}
	hit.kills = append(hit.kills, kill{at: time.Now(), slots: slots})
	return w.Kill()
}

// slotsOf are those that a worker's process holds.
func (r *run) slotsOf(ctx context.Context, pid int) ([]int, error) {
	var slots []int
	err := r.query(ctx, fmt.Sprintf(`select coalesce(array_agg(slot::int), '{}') from omnibox.slots
		where owner like '%%:%d:%%' and lease_until > clock_timestamp()`, pid), &slots)
	return slots, err
}
