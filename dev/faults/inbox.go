package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/omnibox-go/omnibox/store/migrate"
)

// effects is what a handler of the campaign writes, and how: one effect for each
// time that it is applied. Nothing in the table prevents a second one.
const effects = `
create table effects (id bigserial primary key, at timestamptz not null default clock_timestamp(), key text not null, n int not null, message_id uuid not null);
create index on effects (key, n);
create function apply_message(message jsonb) returns void language sql as $$
	insert into effects (key, n, message_id)
	values (message ->> 'key', (message -> 'payload' ->> 'n')::int, (message ->> 'message_id')::uuid)
$$;`

// inbox is a box whose messages come from the topic and whose effects are in its
// database.
func (c *Campaign) inbox() box {
	return box{
		kind: "inboxes", table: migrate.DefaultInbox, options: migrate.Options{Inboxes: []string{migrate.DefaultInbox}}, setup: effects,
		settings: map[string]any{
			"topics": []string{c.Name}, "group": c.Name, "consumers": 2, "ack": c.Ack,
			"handler": map[string]any{"sql": "select apply_message($1)"},
		},
		producer: func(direct string) producer {
			return &Sender{
				Broker: c.Servers.Broker(), Topic: c.Name, Rate: c.Rate, Keys: c.Keys, Writers: writers, Seed: c.Seed,
			}
		},
		observe: func(ctx context.Context, direct string) (observer, error) { return readEffects(ctx, direct) },
		slow:    toPostgres,
	}
}

// Sender sends messages to a topic, each until the broker has it for certain, and
// enters it in the ledger then.
type Sender struct {
	// Broker is its address, past the proxy.
	Broker string
	Topic  string
	// Rate is messages a second in all; what an outage delays is made up for.
	Rate int
	// Keys is how many keys there are, and Writers how many share them. A key has
	// one writer, which sends one message after the other.
	Keys, Writers int
	// Seed of what is sent.
	Seed   uint64
	ledger *Ledger
}

// Run sends until ctx ends, and then finishes the messages under way.
func (s *Sender) Run(ctx context.Context, l *Ledger) error {
	s.ledger = l
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Broker), kgo.DefaultProduceTopic(s.Topic), kgo.ProducerLinger(0),
		kgo.RetryBackoffFn(func(int) time.Duration { return tryPause }), kgo.MetadataMinAge(tryPause))
	if err != nil {
		return err
	}
	defer client.Close()
	var wg sync.WaitGroup
	for i := range s.Writers {
		var keys []string
		for k := i; k < s.Keys; k += s.Writers {
			keys = append(keys, keyName(k))
		}
		wg.Go(func() { s.write(ctx, client, keys, rand.New(rand.NewPCG(s.Seed, uint64(i)))) })
	}
	wg.Wait()
	return nil
}

func (s *Sender) write(ctx context.Context, client *kgo.Client, keys []string, random *rand.Rand) {
	if len(keys) == 0 {
		return
	}
	each := time.Duration(float64(time.Second) * float64(s.Writers) / float64(s.Rate))
	last := map[string]int{}
	for due := time.Now(); ctx.Err() == nil; pause(ctx, time.Until(due)) {
		key := keys[random.IntN(len(keys))]
		last[key]++
		s.send(context.WithoutCancel(ctx), client, Entry{ID: uuid.New(), Key: key, N: last[key]}, random.IntN(repeatOneIn) == 0)
		due = due.Add(each)
	}
}

// repeatOneIn messages is sent twice, as by a producer that does not know whether
// it has sent it.
const repeatOneIn = 40

// send sends a message until the broker has it: a record that may have been
// appended is sent again with the same id.
func (s *Sender) send(ctx context.Context, client *kgo.Client, e Entry, twice bool) {
	record := func() *kgo.Record {
		return &kgo.Record{
			Key: []byte(e.Key), Value: fmt.Appendf(nil, `{"n":%d}`, e.N),
			Headers: []kgo.RecordHeader{{Key: "event_id", Value: []byte(e.ID.String())}, {Key: "event_type", Value: []byte("order.placed")}},
		}
	}
	for client.ProduceSync(ctx, record()).FirstErr() != nil {
		pause(ctx, tryPause)
	}
	if twice {
		_ = client.ProduceSync(ctx, record()).FirstErr() // it is there already
	}
	e.At = time.Now()
	s.ledger.Commit(e)
}

// effectReader reads the table of effects, past the proxy.
type effectReader struct{ db *pgxpool.Pool }

func readEffects(ctx context.Context, url string) (*effectReader, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig.RuntimeParams["application_name"] = "reader"
	cfg.ConnConfig.ConnectTimeout = tryTimeout
	db, err := pgxpool.NewWithConfig(ctx, cfg)
	return &effectReader{db}, err
}

// Len is the number of effects so far, and of different messages among them. An
// outage of the database is waited for.
func (r *effectReader) Len(ctx context.Context) (records, events int) {
	for ctx.Err() == nil {
		err := r.db.QueryRow(ctx, "select count(*), count(distinct message_id) from effects").Scan(&records, &events)
		if err == nil {
			break
		}
		pause(ctx, tryPause)
	}
	return records, events
}

// Await waits until each key has an effect of the given N, or of a later one.
func (r *effectReader) Await(ctx context.Context, want map[string]int) error {
	want = maps.Clone(want)
	for {
		most, err := r.most(ctx, slices.Sorted(maps.Keys(want)))
		maps.DeleteFunc(want, func(key string, n int) bool { return most[key] >= n })
		if len(want) == 0 {
			return nil
		}
		pause(ctx, tryPause)
		if ctx.Err() != nil {
			behind := slices.Sorted(maps.Keys(want))
			return errors.Join(err, fmt.Errorf("%d keys wait, such as %s for its message %d: %w", len(behind), behind[0], want[behind[0]], context.Cause(ctx)))
		}
	}
}

func (r *effectReader) most(ctx context.Context, keys []string) (map[string]int, error) {
	rows, err := r.db.Query(ctx, "select key, coalesce((select max(n) from effects e where e.key = k.key), 0) from unnest($1::text[]) k (key)", keys)
	if err != nil {
		return nil, err
	}
	most := map[string]int{}
	var key string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&key, &n}, func() error { most[key] = n; return nil })
	return most, err
}

// All gives every effect so far, those of a key in their order: an effect is written
// when those before it are committed, or by the same transaction.
func (r *effectReader) All(ctx context.Context) ([]Delivery, error) {
	rows, err := r.db.Query(ctx, "select message_id, key, n, at from effects order by id")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (d Delivery, err error) {
		err = row.Scan(&d.ID, &d.Key, &d.N, &d.At)
		return d, err
	})
}

// Close ends the connections.
func (r *effectReader) Close() { r.db.Close() }
