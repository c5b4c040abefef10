package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// Two statements that lock the same rows in different orders wait for each other
// for ever: all take them in the order of their ids. While the first row is
// locked, nobody who waits for it has any other. Who extends waits for none.
func TestRowsAreLockedInTheOrderOfTheirIDs(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(omnibox.Claim, context.Context) error{
		"release": omnibox.Claim.Release,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 50
			b := newBed(t)
			b.fill(t, n)
			cfg := minute("w1")
			cfg.Claim = store.ClaimRow
			c := claim(t, b.open(t, cfg))
			require.Len(t, fetchAll(t, c, 500), n)

			first := b.begin(t)
			_, err := first.Exec(t.Context(), "select from outbox_events where id = (select min(id::text)::uuid from outbox_events) for update")
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() { done <- act(c, t.Context()) }()
			b.waitBlocked(t)
			require.Equal(t, n-1, one[int](t, b, "select count(*) from (select from outbox_events for update skip locked) free"))
			require.NoError(t, first.Commit(t.Context()))
			require.NoError(t, <-done)
		})
	}
}

// What another transaction was in the way of is no fault of the events: it is
// tried again.
func TestATransactionThatMetAnotherIsRepeated(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"40P01", "40001", "55P03"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.enqueue(t, "k")
			b.exec(t, fmt.Sprintf(`create function meets() returns trigger language plpgsql as
				$$ begin raise exception 'another' using errcode = '%s'; end $$`, code))
			b.exec(t, "create trigger meets before update on outbox_events for each row execute function meets()")
			s := b.open(t, minute("w1"))
			events := fetchAll(t, claim(t, s), 10)
			err := s.Commit(t.Context(), completed(events...))
			require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err), "the class that is tried again: %v", err)
			b.exec(t, "drop trigger meets on outbox_events")
			require.NoError(t, s.Commit(t.Context(), completed(events...)))
		})
	}
}
