package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// Pause tells of a pause: when it began, who asked, and why.
type Pause struct {
	At     time.Time
	By     string
	Reason string
}

// PauseParams say who pauses the pipeline, and why.
type PauseParams struct {
	By     string
	Reason string
}

// PauseResult is the pause in force.
type PauseResult struct {
	Pause Pause
	// Changed is false if the pipeline was paused already: then that pause
	// stays as it was.
	Changed bool
}

// Pause stops the whole pipeline: workers finish what they have fetched and
// fetch nothing more. It holds until Resume.
func (s *Store) Pause(ctx context.Context, p PauseParams) (PauseResult, error) {
	var out PauseResult
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		before, err := s.lockPause(ctx, tx)
		if err != nil {
			return err
		}
		out.Changed = before == nil
		return tx.QueryRow(ctx, s.sql["pause_pipeline"], named{
			"pipeline": s.cfg.Pipeline, "table": s.table, "by": p.By, "reason": p.Reason,
		}).Scan(&out.Pause.At, &out.Pause.By, &out.Pause.Reason)
	})
	if err != nil {
		return PauseResult{}, fmt.Errorf("pause %s: %w", s.cfg.Pipeline, hint(err))
	}
	return out, nil
}

// ResumeResult is the pause that was ended.
type ResumeResult struct {
	// Pause is nil if there was none.
	Pause *Pause
}

// Resume ends a Pause and wakes the workers up.
func (s *Store) Resume(ctx context.Context) (ResumeResult, error) {
	var out ResumeResult
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) (err error) {
		if out.Pause, err = s.lockPause(ctx, tx); err != nil || out.Pause == nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.sql["pause_pipeline_resume"], named{"pipeline": s.cfg.Pipeline}); err != nil {
			return err
		}
		return s.notify(ctx, tx)
	})
	if err != nil {
		return ResumeResult{}, fmt.Errorf("resume %s: %w", s.cfg.Pipeline, hint(err))
	}
	return out, nil
}

// lockPause reads the pause in force, nil if none, under a lock on the
// pipeline's row.
func (s *Store) lockPause(ctx context.Context, tx pgx.Tx) (*Pause, error) {
	var at *time.Time
	var p Pause
	err := tx.QueryRow(ctx, s.sql["pause_pipeline_lock"], named{"pipeline": s.cfg.Pipeline}).
		Scan(&at, &p.By, &p.Reason)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && at == nil {
		return nil, nil //nolint:nilnil // no pause and no error is what it says
	}
	if err != nil {
		return nil, err
	}
	p.At = *at
	return &p, nil
}

// PauseKeyParams name the key.
type PauseKeyParams struct {
	Key omnibox.OrderKey
	By  string
}

// PauseKey holds the events of one topic and key, also those still to be
// written. What a worker has fetched already may still be delivered. It holds
// until ResumeKey.
func (s *Store) PauseKey(ctx context.Context, p PauseKeyParams) (PauseResult, error) {
	var out PauseResult
	args := named{"table": s.table, "topic": p.Key.Topic, "key": p.Key.Key}
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, s.sql["pause_key"], named{
			"table": s.table, "topic": p.Key.Topic, "key": p.Key.Key, "by": p.By,
		})
		if err != nil {
			return err
		}
		out.Changed = tag.RowsAffected() == 1
		return tx.QueryRow(ctx, s.sql["pause_key_hold"], args).Scan(&out.Pause.At, &out.Pause.By)
	})
	if err != nil {
		return PauseResult{}, fmt.Errorf("pause key %s of topic %s: %w", p.Key.Key, p.Key.Topic, hint(err))
	}
	return out, nil
}

// ResumeKeyResult tells what became free.
type ResumeKeyResult struct {
	// Pause is nil if the key was not paused.
	Pause *Pause
	// Freed is how many events were waiting under a mark and go on. While the key
	// waits for the retry of an event, that is this event at most.
	Freed int
}

// ResumeKey ends a PauseKey and wakes the workers up.
func (s *Store) ResumeKey(ctx context.Context, key omnibox.OrderKey) (ResumeKeyResult, error) {
	var out ResumeKeyResult
	args := named{"table": s.table, "topic": key.Topic, "key": key.Key}
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.sql["lock_holds"], args); err != nil {
			return err
		}
		var p Pause
		err := tx.QueryRow(ctx, s.sql["pause_key_release"], args).Scan(&p.At, &p.By)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		out.Pause = &p
		tag, err := tx.Exec(ctx, s.sql["pause_key_clear"], args)
		if err != nil {
			return err
		}
		out.Freed = int(tag.RowsAffected())
		return s.notify(ctx, tx)
	})
	if err != nil {
		return ResumeKeyResult{}, fmt.Errorf("resume key %s of topic %s: %w", key.Key, key.Topic, hint(err))
	}
	return out, nil
}
