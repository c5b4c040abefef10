package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Payloads of notifications other than slots.
const (
	everySlot   = "*"
	quietNotice = "quiet"
	pingPrefix  = "ping "
)

// listener is one connection of a watcher; one goroutine uses it.
type listener struct {
	w       *Watcher
	conn    *pgx.Conn
	key     string // schema.table
	channel string

	ping     string    // that is under way; empty if none
	pingDone time.Time // when it must have come, or when the next is due
	window   time.Time // since when heard counts
	heard    int
}

// begin listens. Behind a pooler in transaction mode that succeeds and has no
// effect; so whether it has is tried, by a notification from another connection.
func (l *listener) begin(ctx context.Context) error {
	err := l.conn.QueryRow(ctx, `select n.nspname || '.' || c.relname, 'omnibox_' || c.oid
		from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1)`,
		QuoteTable(l.w.table)).Scan(&l.key, &l.channel)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("listen to %s: %w: run `omnibox migrate up`", l.w.table, ErrNoTable)
	}
	if err != nil {
		return fmt.Errorf("listen to %s: %w", l.w.table, err)
	}
	if _, err := l.conn.Exec(ctx, "listen "+pgx.Identifier{l.channel}.Sanitize()); err != nil {
		return fmt.Errorf("listen to %s: %w", l.w.table, err)
	}
	return l.sendPing(ctx)
}

// sendPing notifies the own channel from another connection.
func (l *listener) sendPing(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, pingTimeout, errors.New("no connection to ping with"))
	defer cancel()
	l.ping = pingPrefix + strconv.FormatInt(time.Now().UnixNano(), 36) + "/" + strconv.Itoa(int(l.conn.PgConn().PID()))
	l.pingDone = time.Now().Add(pingTimeout)
	if _, err := l.w.db.Exec(ctx, "select pg_notify($1, $2)", l.channel, l.ping); err != nil {
		return fmt.Errorf("ping %s: %w", l.channel, err)
	}
	return nil
}

// next waits for one notification, or for the time of something else to do.
func (l *listener) next(ctx context.Context) error {
	until := l.pingDone
	quietEnd := l.w.quietEnd()
	if !quietEnd.IsZero() && quietEnd.Before(until) {
		until = quietEnd
	}
	waiting, cancel := context.WithDeadline(ctx, until)
	n, err := l.conn.WaitForNotification(waiting)
	cancel()
	switch {
	case err == nil:
		return l.handle(ctx, n)
	case ctx.Err() != nil || !pgconn.Timeout(err):
		return fmt.Errorf("listen to %s: %w", l.w.table, err)
	}
	now := time.Now()
	if !quietEnd.IsZero() && !now.Before(quietEnd) {
		l.w.endQuiet()
	}
	if now.Before(l.pingDone) {
		return nil
	}
	if l.ping != "" {
		return fmt.Errorf("listen to %s: %w", l.w.table, errDeaf)
	}
	return l.sendPing(ctx)
}

func (l *listener) handle(ctx context.Context, n *pgconn.Notification) error {
	switch {
	case n.Payload == quietNotice:
		l.w.beginQuiet()
	case n.Payload == l.ping:
		l.pong()
	case strings.HasPrefix(n.Payload, pingPrefix):
		// another process's
	default:
		l.w.wake(parseSlots(n.Payload))
		return l.count(ctx)
	}
	return nil
}

// pong: what the own ping came through, everything after it will. The first one
// wakes everybody, for what was missed before.
func (l *listener) pong() {
	l.ping, l.pingDone = "", time.Now().Add(pingEvery)
	if !l.w.setListening(true) {
		l.w.wake(allSlots)
	}
}

// count silences the trigger when too much is heard.
func (l *listener) count(ctx context.Context) error {
	now := time.Now()
	if now.Sub(l.window) > quietWindow {
		l.window, l.heard = now, 0
	}
	l.heard++
	if l.heard <= quietCount || l.w.Quiet() {
		return nil
	}
	l.window, l.heard = now, 0
	text, err := files.ReadFile("sql/watch_quiet.sql")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, pingTimeout, errors.New("silencing took too long"))
	defer cancel()
	_, err = l.w.db.Exec(ctx, string(text), named{"table_name": l.key, "channel": l.channel})
	if err != nil { // the wake-ups still work; producers pay for it
		l.w.log.WarnContext(ctx, "cannot silence the wake-ups of a busy table", slog.Any("error", err))
	}
	return nil
}

// parseSlots reads a payload of the trigger, such as 3,17 or *.
func parseSlots(payload string) uint64 {
	if payload == everySlot {
		return allSlots
	}
	var mask uint64
	for part := range strings.SplitSeq(payload, ",") {
		if slot, err := strconv.Atoi(part); err == nil && slot >= 0 && slot < bits.UintSize {
			mask |= 1 << slot
		}
	}
	return mask
}

// beginQuiet and endQuiet wake everybody: those who wait must begin to poll, and
// look once more when wake-ups are back.
//
//  1. A producer's trigger sees quiet_until, an instant ahead: no wake-up.
//  2. quiet_until passes, by the database's clock. Here the quiet phase ends
//     later: it is longer, and counted from the notice.
//  3. The producer commits at any time: before the phase ends here it is found by
//     the last look; after that, by the look that everybody makes now and then.
func (w *Watcher) beginQuiet() {
	w.mu.Lock()
	w.quietUntil = time.Now().Add(quietFor)
	w.mu.Unlock()
	w.wake(allSlots)
}

func (w *Watcher) endQuiet() {
	w.mu.Lock()
	w.quietUntil = time.Time{}
	w.mu.Unlock()
	w.wake(allSlots)
}

// quietEnd is zero unless there is a quiet phase whose end is to come.
func (w *Watcher) quietEnd() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.quietUntil
}
