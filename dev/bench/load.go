package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox/dev/bench/lab"
	"github.com/omnibox-go/omnibox/store"
)

// The load of a latency run is a process of its own, so that its CPU time is not
// taken for the relay's: this program again, told by a variable.
const loadVariable = "OMNIBOX_BENCH_LOAD"

// Work is what the process of a load is asked for.
type Work struct {
	URL     string
	Brokers []string
	Topic   string
	Pace    int // events a second
	For     time.Duration
}

// Report is its answer. Times are from sending the commit to having the event.
type Report struct {
	Events     int
	P50, P99   float64 // ms
	SessionCPU float64 // of the producer's session in Postgres, s
}

// IsLoad tells whether this process is a load; then main must call Load.
func IsLoad() bool { return os.Getenv(loadVariable) != "" }

// Load does the work that is read from in and writes its report to out. It
// returns the exit code.
func Load(in io.Reader, out, messages io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var w Work
	err := json.NewDecoder(in).Decode(&w)
	if err == nil {
		var r Report
		if r, err = w.do(ctx); err == nil {
			err = json.NewEncoder(out).Encode(r)
		}
	}
	if err != nil {
		fmt.Fprintln(messages, "load:", err)
		return 1
	}
	return 0
}

// runLoad runs the process and measures what others have used meanwhile.
func runLoad(ctx context.Context, l *lab.Lab, w Work) (r Report, used lab.Usage, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, used, err
	}
	work, err := json.Marshal(w)
	if err != nil {
		return r, used, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), loadVariable+"=1")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(work), os.Stderr
	before := l.Usage()
	text, err := cmd.Output()
	used = l.Usage().Since(before)
	if err != nil {
		return r, used, fmt.Errorf("load: %w", err)
	}
	return r, used, json.Unmarshal(text, &r)
}

// do writes events at the pace, and waits for the consumer to have them all.
func (w Work) do(ctx context.Context) (Report, error) {
	events := int(w.For.Seconds() * float64(w.Pace))
	c, err := w.consume(events)
	if err != nil {
		return Report{}, err
	}
	defer c.close()
	conn, err := pgx.Connect(ctx, w.URL)
	if err != nil {
		return Report{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var pid int
	if err := conn.QueryRow(ctx, "select pg_backend_pid()").Scan(&pid); err != nil {
		return Report{}, err
	}
	sent, err := w.produce(ctx, conn, events)
	if err != nil {
		return Report{}, err
	}
	select {
	case <-c.all:
	case <-time.After(30 * time.Second):
		return Report{}, errors.New("events are missing after 30 s")
	}
	r := report(sent, c.arrived(), lab.ProcessCPU(pid))
	r.Events = events
	return r, nil
}

// produce writes events, a transaction each, at a fixed pace: one that is late
// does not make the next ones late. It returns when each commit was sent, but
// for those of the first second, in which connections and plans are made.
func (w Work) produce(ctx context.Context, conn *pgx.Conn, events int) (map[string]time.Time, error) {
	sent := make(map[string]time.Time, events)
	tick := time.NewTicker(time.Second / time.Duration(w.Pace))
	defer tick.Stop()
	for n := range events {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		tx, err := conn.Begin(ctx)
		if err != nil {
			return nil, err
		}
		written, err := store.Outbox{}.Enqueue(ctx, tx, order(w.Topic, n))
		if err != nil {
			return nil, err
		}
		if n >= w.Pace {
			sent[written.Events[0].ID.String()] = time.Now()
		}
		if err := tx.Commit(ctx); err != nil {
			return nil, err
		}
	}
	return sent, nil
}

// consumer notes when it has got each event.
type consumer struct {
	client   sarama.Consumer
	readers  sync.WaitGroup
	wanted   int
	all      chan struct{} // closed when all have come
	mu       sync.Mutex
	received map[string]time.Time
}

func (w Work) consume(events int) (*consumer, error) {
	client, err := sarama.NewConsumer(w.Brokers, nil)
	if err != nil {
		return nil, fmt.Errorf("connect to kafka: %w", err)
	}
	c := &consumer{client: client, wanted: events, all: make(chan struct{}), received: make(map[string]time.Time, events)}
	partitions, err := client.Partitions(w.Topic)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	for _, n := range partitions {
		p, err := client.ConsumePartition(w.Topic, n, sarama.OffsetOldest)
		if err != nil {
			return nil, errors.Join(err, client.Close())
		}
		c.readers.Go(func() {
			for m := range p.Messages() {
				c.note(m, time.Now())
			}
		})
	}
	return c, nil
}

// note takes the first arrival of an event.
func (c *consumer) note(m *sarama.ConsumerMessage, at time.Time) {
	for _, h := range m.Headers {
		if string(h.Key) != "event_id" {
			continue
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, again := c.received[string(h.Value)]; again {
			return
		}
		c.received[string(h.Value)] = at
		if len(c.received) == c.wanted {
			close(c.all)
		}
	}
}

func (c *consumer) arrived() map[string]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.received
}

func (c *consumer) close() { c.client.Close() }

func report(sent, arrived map[string]time.Time, cpu float64) Report {
	var took []float64
	for id, at := range sent {
		took = append(took, float64(arrived[id].Sub(at).Microseconds())/1000)
	}
	slices.Sort(took)
	r := Report{P50: quantile(took, 0.5), P99: quantile(took, 0.99), SessionCPU: cpu}
	if math.IsNaN(cpu) { // JSON has no word for it
		r.SessionCPU = 0
	}
	return r
}

// quantile of sorted values.
func quantile(sorted []float64, q float64) float64 {
	return sorted[int(q*float64(len(sorted)-1))]
}
