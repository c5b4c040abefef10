package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// The database refuses at the end of the transaction, when the events have the
// fences of their workflows: they are good for the next try.
//
// trap: 18
func TestAnEscalationThatIsNotCommittedMayBeRepeated(t *testing.T) {
	t.Parallel()
	for _, claimed := range []string{store.ClaimShard, store.ClaimRow} {
		t.Run(claimed, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			s := b.open(t, store.Config{Claim: claimed, Lease: time.Minute, Escalation: store.Escalation{Most: 10}})
			id := b.enqueue(t, "a")[0]
			b.exec(t, `create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not now' using errcode = '40001'; end $$;
				create constraint trigger refuse after update on outbox_events deferrable initially deferred for each row
					when (new.error_class is not null) execute function refuse()`)
			events := fetch(t, claim(t, s), 10)
			fence := events[0].Fence
			out := []omnibox.Outcome{{Event: &events[0], Verdict: omnibox.Retry, Class: omnibox.ClassTransient, Counted: true, Attempts: 1}}
			err := s.Commit(t.Context(), out)
			require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err), "%v", err)
			require.Equal(t, fence, events[0].Fence)
			b.exec(t, "drop trigger refuse on outbox_events")
			require.NoError(t, s.Commit(t.Context(), out))
			require.True(t, events[0].Escalated)
			require.Equal(t, 1, one[int](t, b, "select attempts_made from outbox_events where id = $1", [16]byte(id)))
			_, _, err = s.Lane(store.LaneConfig{}).Begin(t.Context(), events[0].Ref(), events[0].Fence)
			require.NoError(t, err)
		})
	}
}
