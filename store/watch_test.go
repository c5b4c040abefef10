package store_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/store"
)

func everySlot() []int {
	slots := make([]int, 64)
	for i := range slots {
		slots[i] = i
	}
	return slots
}

func slotOf(t *testing.T, db *pgxpool.Pool, key string) (slot int) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), "select hashtextextended($1, hashtextextended('orders', 0)) & 63", key).Scan(&slot))
	return slot
}

func watch(t *testing.T, db *pgxpool.Pool) *store.Watcher {
	t.Helper()
	w := store.Watch(t.Context(), db, "outbox_events", slog.New(slog.DiscardHandler))
	t.Cleanup(w.Close)
	awaitListening(t, w)
	return w
}

func awaitListening(t *testing.T, w *store.Watcher) {
	t.Helper()
	require.Eventually(t, w.Listening, time.Minute, time.Millisecond)
}

// await waits for a wake-up of a slot.
func await(t *testing.T, s *store.Subscription, slot int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		slots, err := s.Wait(ctx)
		require.NoError(t, err)
		if slices.Contains(slots, slot) {
			return
		}
	}
}

// settled takes the wake-ups that are there already.
func settled(t *testing.T, s *store.Subscription) {
	t.Helper()
	_, err := s.Wait(t.Context())
	require.NoError(t, err)
}

func TestWatcherWakesTheSlotThatWasWritten(t *testing.T) {
	t.Parallel()
	db := pool(t, outboxURL(t))
	w := watch(t, db)
	slot := slotOf(t, db, "k1")
	mine, other := w.Subscribe([]int{slot}), w.Subscribe([]int{(slot + 1) % 64})
	defer mine.Close()
	defer other.Close()
	settled(t, mine)
	settled(t, other)
	enqueue(t, db, order(1))
	await(t, mine, slot)

	later := order(1)
	later.ScheduledAt = time.Now().Add(time.Hour)
	enqueue(t, db, later) // wakes nobody
	enqueue(t, db, order(1))
	await(t, mine, slot)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := other.Wait(ended)
	require.ErrorIs(t, err, context.Canceled)
}

func TestTheTriggerSpeaksOnceAStatement(t *testing.T) {
	t.Parallel()
	db := pool(t, outboxURL(t))
	conn, err := pgx.Connect(t.Context(), db.Config().ConnString())
	require.NoError(t, err)
	defer conn.Close(context.Background())
	heard := func() string {
		n, err := conn.WaitForNotification(t.Context())
		require.NoError(t, err)
		return n.Payload
	}
	_, err = conn.Exec(t.Context(), `do $$ begin execute 'listen omnibox_' || 'outbox_events'::regclass::oid; end $$`)
	require.NoError(t, err)

	many := orders(1000)
	for i := range many {
		many[i].Key = time.Duration(i).String()
	}
	enqueue(t, db, many...)
	require.Equal(t, "*", heard())

	same := orders(50)
	for i := range same {
		same[i].Key = "k"
	}
	enqueue(t, db, same...)
	require.NotContains(t, heard(), ",")

	_, err = db.Exec(t.Context(), "update omnibox.boxes set notify = false")
	require.NoError(t, err)
	enqueue(t, db, same...)
	_, err = db.Exec(t.Context(), "select pg_notify('omnibox_' || 'outbox_events'::regclass::oid, 'end')")
	require.NoError(t, err)
	require.Equal(t, "end", heard(), "it was switched off")
}

// trap: 29
func TestABusyTableFallsSilentAndLosesNothing(t *testing.T) {
	t.Parallel()
	db := pool(t, outboxURL(t))
	busy, idle := watch(t, db), watch(t, db)
	s := busy.Subscribe(everySlot())
	defer s.Close()

	// A reader in the way of a poller: it looks when woken, and every QuietPoll
	// while quiet. It sees every row, or this test does not end.
	const total = 3000
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range total / 4 {
				enqueue(t, db, order(i))
			}
		})
	}
	// More notifications at once than a calm table has, however slow the machine.
	_, err := db.Exec(t.Context(), `select pg_notify('omnibox_' || 'outbox_events'::regclass::oid, repeat('0', i) || '1')
		from generate_series(1, 200) i`)
	require.NoError(t, err)
	require.Eventually(t, busy.Quiet, time.Minute, time.Millisecond)
	for seen := 0; seen < total; {
		if !busy.Quiet() {
			_, err := s.Wait(ctx)
			require.NoError(t, err)
		} else {
			<-time.After(store.QuietPoll)
		}
		seen = count(t, db)
	}
	wg.Wait()

	var silenced bool
	require.NoError(t, db.QueryRow(t.Context(), "select quiet_until > '-infinity' from omnibox.boxes").Scan(&silenced))
	require.True(t, silenced)
	// Another process learns of it as well, and both hear again afterwards.
	require.Eventually(t, func() bool { return !busy.Quiet() && !idle.Quiet() }, time.Minute, time.Millisecond)
	_, err = db.Exec(t.Context(), "update omnibox.boxes set quiet_until = '-infinity'")
	require.NoError(t, err)
	enqueue(t, db, order(1))
	await(t, s, slotOf(t, db, "k1"))
}

func TestAnotherProcessLearnsOfTheQuiet(t *testing.T) {
	t.Parallel()
	db := pool(t, outboxURL(t))
	w := watch(t, db)
	s := w.Subscribe([]int{7})
	defer s.Close()
	settled(t, s)
	_, err := db.Exec(t.Context(), "select pg_notify('omnibox_' || 'outbox_events'::regclass::oid, 'quiet')")
	require.NoError(t, err)
	await(t, s, 7)
	require.True(t, w.Quiet())
	await(t, s, 7)
	require.False(t, w.Quiet())
}

// trap: 30
func TestWatcherReconnectsAndWakesForWhatItMissed(t *testing.T) {
	t.Parallel()
	db := pool(t, outboxURL(t))
	w := watch(t, db)
	s := w.Subscribe([]int{3})
	defer s.Close()
	settled(t, s)
	for range 2 {
		_, err := db.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
			where datname = current_database() and query like 'listen %'`)
		require.NoError(t, err)
		await(t, s, 3)
		awaitListening(t, w)
	}
}

func TestWatcherWaitsForItsTable(t *testing.T) {
	t.Parallel()
	db := pool(t, outboxURL(t))
	_, err := db.Exec(t.Context(), "alter table outbox_events rename to later")
	require.NoError(t, err)
	var log lockedBuffer
	w := store.Watch(t.Context(), db, "outbox_events", slog.New(slog.NewTextHandler(&log, nil)))
	defer w.Close()
	require.Eventually(t, func() bool { return log.contains("table does not exist") }, time.Minute, time.Millisecond)
	require.False(t, w.Listening())
	_, err = db.Exec(t.Context(), "alter table later rename to outbox_events")
	require.NoError(t, err)
	awaitListening(t, w)
	require.Equal(t, 1, log.count("no wake-ups"), "a warning comes once")
}

// trap: 30
func TestWatcherNoticesThatAPoolerSwallowsNotifications(t *testing.T) {
	t.Parallel()
	// As behind a pooler in transaction mode, listen succeeds without effect.
	cfg, err := pgxpool.ParseConfig(outboxURL(t))
	require.NoError(t, err)
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return deafConn{conn}, err
	}
	db, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer db.Close()
	var log lockedBuffer
	w := store.Watch(t.Context(), db, "outbox_events", slog.New(slog.NewTextHandler(&log, nil)))
	defer w.Close()
	require.Eventually(t, func() bool { return log.contains("pooler in transaction mode") }, time.Minute, time.Millisecond)
	require.False(t, w.Listening())
}

// deafConn turns "listen" into a comment.
type deafConn struct{ net.Conn }

func (c deafConn) Write(b []byte) (int, error) {
	return c.Conn.Write(bytes.Replace(b, []byte("listen "), []byte("--sten "), 1))
}

func TestWatcherClosesWhileItCannotConnect(t *testing.T) {
	t.Parallel()
	db := pool(t, "postgres://postgres@127.0.0.1:1/none")
	var log lockedBuffer
	w := store.Watch(t.Context(), db, "outbox_events", slog.New(slog.NewTextHandler(&log, nil)))
	require.Eventually(t, func() bool { return log.contains("no wake-ups") }, time.Minute, time.Millisecond)
	w.Close()
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) contains(s string) bool { return l.count(s) > 0 }

func (l *lockedBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte(s))
}
