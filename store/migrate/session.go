package migrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// lockTimeout bounds how long a change of the catalog waits for its lock,
	// and so how long it keeps producers waiting behind it.
	lockTimeout = 2 * time.Second
	// lockPause lets the producers that queued up behind a lock through.
	lockPause = time.Second
	// migrationLock is the advisory lock of whoever migrates: "omnibox" in ASCII.
	migrationLock = 0x6f6d6e69626f78
	// turnPoll is how often it is asked for while another process has it.
	turnPoll = 200 * time.Millisecond
)

// errNotMine says that another process migrates.
var errNotMine = errors.New("another process is migrating")

// session is a small pool of connections set up for migrations.
type session struct {
	*pgxpool.Pool
	log    *slog.Logger
	locked *pgxpool.Conn // holds migrationLock
}

// open connects apart from db's own connections, so that settings do not leak,
// and waits for its turn.
func open(ctx context.Context, db *pgxpool.Pool, log *slog.Logger) (*session, error) {
	cfg := db.Config()
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = 4, 0, 0
	before := cfg.AfterConnect
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if before != nil {
			if err := before(ctx, conn); err != nil {
				return err
			}
		}
		_, err := conn.Exec(ctx, fmt.Sprintf(`set lock_timeout = '%dms'; set statement_timeout = 0;
			set idle_in_transaction_session_timeout = 0; set client_min_messages = warning`, lockTimeout.Milliseconds()))
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	s := &session{Pool: pool, log: log}
	if err := s.awaitTurn(ctx); err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

// awaitTurn takes the migration lock.
func (s *session) awaitTurn(ctx context.Context) error {
	conn, err := s.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s.locked = conn
	waiting := func(waited time.Duration) {
		s.log.InfoContext(ctx, "waiting for another migration to end", slog.Duration("waited", waited))
	}
	return poll(ctx, waiting, turnPoll, func() error {
		var mine bool
		if err := conn.QueryRow(ctx, "select pg_try_advisory_lock($1)", int64(migrationLock)).Scan(&mine); err != nil {
			return fmt.Errorf("take the migration lock: %w", err)
		}
		if !mine {
			return errNotMine
		}
		return nil
	})
}

// close gives the lock up together with its connection.
func (s *session) close(ctx context.Context) {
	if s.locked != nil {
		_ = s.locked.Hijack().Close(context.WithoutCancel(ctx))
	}
	s.Close()
}

// patiently repeats do until it gets its locks in time.
func (s *session) patiently(ctx context.Context, target string, do func() error) error {
	waiting := func(waited time.Duration) {
		s.log.InfoContext(ctx, "others use the table, trying again", slog.String("target", target), slog.Duration("waited", waited))
	}
	return poll(ctx, waiting, lockPause, do)
}

// poll repeats do as long as it meets a lock, and says so now and then.
func poll(ctx context.Context, waiting func(time.Duration), pause time.Duration, do func() error) error {
	start := time.Now()
	next := start
	for {
		err := do()
		if err == nil || !errors.Is(err, errNotMine) && !isLockTimeout(err) {
			return err
		}
		if now := time.Now(); !now.Before(next) {
			waiting(now.Sub(start).Round(time.Second))
			next = now.Add(5 * time.Second)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

func isLockTimeout(err error) bool { return hasState(err, "55P03") }

// hasState says whether the database refused with this SQLSTATE.
func hasState(err error, state string) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == state
}
