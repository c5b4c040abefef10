package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/bench/lab"
	"github.com/omnibox-go/omnibox/inbox"
)

// message is what a raw loop reads of a message.
type message struct {
	place
	id             uuid.UUID
	messageID, key string
	payload        []byte
}

// txLoop has as many goroutines as there are handlers, each with its share of the
// slots, and a transaction a message in which a lease is tested.
func txLoop(ctx context.Context, b *lab.Box, t *tally) error {
	if _, err := b.DB.Exec(ctx, statement("loop_leases"), inbox.DefaultConcurrency); err != nil {
		return err
	}
	return share(inbox.DefaultConcurrency, func(n int) error {
		return readInbox(ctx, b, n, inbox.DefaultConcurrency, func(messages []message) error {
			for _, m := range messages {
				if err := pgx.BeginFunc(ctx, b.DB, func(tx pgx.Tx) error { return handleOne(ctx, tx, m, n) }); err != nil {
					return err
				}
				t.settled(1)
			}
			return nil
		})
	})
}

func handleOne(ctx context.Context, tx pgx.Tx, m message, worker int) error {
	tag, err := tx.Exec(ctx, statement("loop_handled"), m.id, worker)
	if err == nil && tag.RowsAffected() != 1 {
		err = errors.New("the lease is lost")
	}
	if err != nil {
		return err
	}
	var c content
	if err := json.Unmarshal(m.payload, &c); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertEffect, m.messageID, m.key, c.N)
	return err
}

// batchLoop has a transaction for all that was read at once, in which a lease is
// tested, by as many workers as there are drains, each with its share of the slots.
func batchLoop(ctx context.Context, b *lab.Box, t *tally) error {
	if _, err := b.DB.Exec(ctx, statement("loop_leases"), workers); err != nil {
		return err
	}
	return share(workers, func(n int) error {
		return readInbox(ctx, b, n, workers, func(messages []message) error {
			return handleAll(ctx, b, t, messages, n)
		})
	})
}

// handleAll completes messages if the worker's lease is still the same, and does
// what they are about.
func handleAll(ctx context.Context, b *lab.Box, t *tally, messages []message, worker int) error {
	var e effects
	ids := make([]uuid.UUID, len(messages))
	for i, m := range messages {
		var c content
		if err := json.Unmarshal(m.payload, &c); err != nil {
			return err
		}
		ids[i] = m.id
		e.add(m.messageID, m.key, c.N)
	}
	err := pgx.BeginFunc(ctx, b.DB, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, statement("loop_handled_all"), ids, worker)
		if err == nil && tag.RowsAffected() != int64(len(ids)) {
			err = errors.New("the lease is lost")
		}
		if err != nil {
			return err
		}
		return e.insert(ctx, tx)
	})
	if err == nil {
		t.settled(len(messages))
	}
	return err
}

// share runs work for each of some workers at once.
func share(among int, work func(n int) error) error {
	var all sync.WaitGroup
	errs := make([]error, among)
	for n := range among {
		all.Go(func() { errs[n] = work(n) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// readInbox gives the nth of some workers what is due in its share of the slots,
// a batch after the other, until there is nothing more.
func readInbox(ctx context.Context, b *lab.Box, n, among int, handle func([]message) error) error {
	first := place{slot: n * omnibox.Slots / among}
	for from := first; ; {
		rows, err := b.DB.Query(ctx, statement("loop_read_inbox"), from.slot, from.seq, (n+1)*omnibox.Slots/among, batch)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		messages, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m message, err error) {
			err = row.Scan(&m.id, &m.slot, &m.seq, &m.messageID, &m.key, &m.payload)
			return m, err
		})
		switch {
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case len(messages) == 0 && from == first:
			return nil
		case len(messages) == 0:
			from = first // there may be rows that were committed late
			continue
		}
		if err := handle(messages); err != nil {
			return fmt.Errorf("handle: %w", err)
		}
		from = messages[len(messages)-1].place
	}
}
