package bench

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/bench/lab"
)

// batch is how many events every variant reads, sends and settles at a time.
const batch = 500

// workers is how many goroutines, connections and producers a loop has.
const workers = 2

//go:embed sql/*.sql
var files embed.FS

// statement reads a file of sql/. It is there, since it was compiled in.
func statement(name string) string {
	text, err := files.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err)
	}
	return string(text)
}

// loops are the raw loops. They have no fence, no steps, and no answer to a
// failure: what is fast about them is what the batch lane is held against.
func loops() []Variant {
	return []Variant{
		{Name: "lease-loop", Title: "plain lease loop: lease, send, mark", run: run(loop{read: "loop_lease", settle: "loop_complete", shared: true})},
		{Name: "update-loop", Title: "one-update loop: read, send, mark", run: run(loop{read: "loop_read", settle: "loop_complete"})},
		{
			Name: "update-loop-publisher", Title: "one-update loop, by way of broker/kafka", Against: "update-loop",
			run: run(loop{read: "loop_read", settle: "loop_complete", publisher: true}),
		},
		{Name: "delete-loop", Title: "one-update loop that deletes", run: run(loop{read: "loop_read", settle: "loop_delete"})},
	}
}

// loop is a raw loop.
type loop struct {
	read, settle string // statements
	shared       bool   // all workers take from all slots
	publisher    bool   // send through broker/kafka
}

// row is what a raw loop reads of an event.
type row struct {
	place
	id                uuid.UUID
	topic, key, event string
	payload           []byte
}

// place in the order of the index of due rows.
type place struct {
	slot int
	seq  int64
}

// send brings rows to the broker and returns when all are acknowledged.
type send func(context.Context, []row) error

// run fills a box and has workers empty it.
func run(l loop) func(context.Context, Setup) (Sample, error) {
	return func(ctx context.Context, s Setup) (Sample, error) {
		return relay(ctx, s, func(ctx context.Context, b *lab.Box, t *tally) error {
			var all sync.WaitGroup
			errs := make([]error, workers)
			for n := range workers {
				all.Go(func() { errs[n] = l.work(ctx, b, n, t) })
			}
			all.Wait()
			return errors.Join(errs...)
		})
	}
}

// relay measures how long it takes to bring a box full of events to Kafka, from
// nothing to the last event settled.
func relay(ctx context.Context, s Setup, work func(context.Context, *lab.Box, *tally) error) (_ Sample, err error) {
	b, err := s.Lab.Box(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close(ctx)) }()
	if err := b.Fill(ctx, s.Events); err != nil {
		return nil, err
	}
	before, t := s.Lab.Usage(), newTally(s.Events)
	if err := work(ctx, b, t); err != nil {
		return nil, err
	}
	return t.sample(s.Lab, before, func() error { return b.Verify(ctx, s.Events) })
}

// tally is the clock of a run: it stops when the last event has been settled.
type tally struct {
	events int
	start  time.Time
	left   atomic.Int64
	end    time.Time     // set before done is closed
	done   chan struct{} // closed with the last event
}

func newTally(events int) *tally {
	t := &tally{events: events, start: time.Now(), done: make(chan struct{})}
	t.left.Store(int64(events))
	return t
}

// restart sets the clock back to zero, before anything is counted.
func (t *tally) restart() { t.start = time.Now() }

// settled counts events. It reports whether there were too many.
func (t *tally) settled(n int) (tooMany bool) {
	if n == 0 {
		return false
	}
	left := t.left.Add(-int64(n))
	if left == 0 {
		t.end = time.Now()
		close(t.done)
	}
	return left < 0
}

// sample is what was measured since before, unless the run has not done its work.
func (t *tally) sample(l *lab.Lab, before lab.Usage, verify func() error) (Sample, error) {
	used := l.Usage().Since(before)
	if err := verify(); err != nil {
		return nil, err
	}
	return Sample{Rate: float64(t.events) / t.took().Seconds()}.cost(used, t.events), nil
}

// took is what the run has taken; it waits for its end.
func (t *tally) took() time.Duration {
	<-t.done
	return t.end.Sub(t.start)
}

// work is the nth worker: it empties its share of the slots.
func (l loop) work(ctx context.Context, b *lab.Box, n int, t *tally) error {
	send, stop, err := l.sender(b)
	if err != nil {
		return err
	}
	defer stop()
	first := place{slot: n * omnibox.Slots / workers}
	for from := first; ; {
		rows, err := readRows(ctx, b.DB, statement(l.read), l.args(n, from))
		switch {
		case err != nil:
			return err
		case len(rows) == 0 && from == first:
			return nil
		case len(rows) == 0:
			from = first // there may be rows that were committed late
			continue
		}
		if err := send(ctx, rows); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		if err := settle(ctx, b.DB, statement(l.settle), rows); err != nil {
			return err
		}
		if t.settled(len(rows)) {
			return errors.New("more was settled than there is")
		}
		if !l.shared {
			from = rows[len(rows)-1].place
		}
	}
}

func (l loop) args(n int, from place) pgx.StrictNamedArgs {
	if l.shared {
		return pgx.StrictNamedArgs{"batch": batch}
	}
	return pgx.StrictNamedArgs{"slot": from.slot, "seq": from.seq, "end": (n + 1) * omnibox.Slots / workers, "batch": batch}
}

func readRows(ctx context.Context, db *pgxpool.Pool, statement string, args pgx.StrictNamedArgs) ([]row, error) {
	result, err := db.Query(ctx, statement, args)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	rows := make([]row, 0, batch)
	for result.Next() {
		rows = append(rows, row{})
		r := &rows[len(rows)-1]
		if err := result.Scan(&r.id, &r.slot, &r.seq, &r.topic, &r.key, &r.event, &r.payload); err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
	}
	return rows, result.Err()
}

func settle(ctx context.Context, db *pgxpool.Pool, statement string, rows []row) error {
	ids := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		ids[i] = r.id
	}
	if _, err := db.Exec(ctx, statement, pgx.StrictNamedArgs{"ids": ids}); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}

func (l loop) sender(b *lab.Box) (_ send, stop func(), err error) {
	if l.publisher {
		return publisherSender(b)
	}
	producer, err := sarama.NewSyncProducer(b.Brokers, saramaConfig())
	if err != nil {
		return nil, nil, fmt.Errorf("connect to kafka: %w", err)
	}
	send := func(_ context.Context, rows []row) error { return producer.SendMessages(messages(rows)) }
	return send, func() { producer.Close() }, nil
}

// saramaConfig is an idempotent producer that waits for all replicas.
func saramaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	c.Producer.Idempotent = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Net.MaxOpenRequests = 1
	return c
}

// messages are the same that the batch lane sends.
func messages(rows []row) []*sarama.ProducerMessage {
	out := make([]*sarama.ProducerMessage, len(rows))
	for i, r := range rows {
		out[i] = &sarama.ProducerMessage{
			Topic: r.topic, Key: sarama.StringEncoder(r.key), Value: sarama.ByteEncoder(r.payload),
			Headers: []sarama.RecordHeader{
				{Key: []byte("event_id"), Value: []byte(r.id.String())},
				{Key: []byte("event_type"), Value: []byte(r.event)},
			},
		}
	}
	return out
}
