package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Settings are what all workers of a table must agree on: order depends on
// them. The first worker writes its own down.
type Settings struct {
	Claim         string
	Ordering      string
	BehindFailure string
	Lease         time.Duration
}

// stored is how Settings are written down.
type stored struct {
	Claim         string `json:"claim"`
	Ordering      string `json:"ordering"`
	BehindFailure string `json:"behind_failure"`
	Lease         string `json:"lease"`
}

func (s Settings) stored() stored {
	return stored{Claim: s.Claim, Ordering: s.Ordering, BehindFailure: s.BehindFailure, Lease: s.Lease.String()}
}

// Settings of this store, as it is configured.
func (s *Store) Settings() Settings {
	return Settings{
		Claim: s.cfg.Claim, Ordering: s.cfg.Ordering, BehindFailure: s.cfg.BehindFailure, Lease: s.cfg.Lease,
	}
}

// Difference is one key in which a worker and the table disagree.
type Difference struct {
	Key        string
	Stored     string
	Configured string
}

// SettingsMismatchError says that other workers of the table were configured
// otherwise, so that both together would break the order of events.
type SettingsMismatchError struct {
	Pipeline    string
	Table       string
	Differences []Difference
}

func (e *SettingsMismatchError) Error() string {
	parts := make([]string, len(e.Differences))
	for i, d := range e.Differences {
		parts[i] = fmt.Sprintf("%s is %s there and %s here", d.Key, d.Stored, d.Configured)
	}
	return fmt.Sprintf("settings of %s differ from those stored with table %s: %s; stop the other workers and run `omnibox config apply`, or configure what is stored",
		e.Pipeline, e.Table, strings.Join(parts, ", "))
}

// Register makes the pipeline and what its order depends on known in the
// database. The error is a *SettingsMismatchError if they are known and
// different; then nothing is changed.
func (s *Store) Register(ctx context.Context, settings Settings) error {
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		have, err := s.lockSettings(ctx, tx)
		if err != nil {
			return err
		}
		table, err := s.registerPipeline(ctx, tx)
		if err != nil {
			return err
		}
		if diff := s.compare(settings, have, table); len(diff) > 0 {
			return &SettingsMismatchError{Pipeline: s.cfg.Pipeline, Table: s.table, Differences: diff}
		}
		if have != nil {
			return nil
		}
		return s.writeSettings(ctx, tx, settings)
	})
	if err != nil {
		return fmt.Errorf("register %s: %w", s.cfg.Pipeline, hint(err))
	}
	return nil
}

// CheckSettings returns a *SettingsMismatchError if what is stored is not what this
// store is configured with. It takes no lock.
func (s *Store) CheckSettings(ctx context.Context) error {
	_, mismatch, err := s.readSettings(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("read the settings of %s: %w", s.cfg.Pipeline, hint(err))
	case mismatch != nil:
		return mismatch
	}
	return nil
}

// readSettings reads what is stored, nil if nothing is, and how it differs from
// what this store is configured with.
func (s *Store) readSettings(ctx context.Context) (have *stored, mismatch *SettingsMismatchError, err error) {
	var table string
	err = s.db.QueryRow(ctx, s.sql["settings_read"], named{"pipeline": s.cfg.Pipeline, "table": s.table}).Scan(&have, &table)
	if err != nil {
		return nil, nil, err
	}
	if diff := s.compare(s.Settings(), have, table); len(diff) > 0 {
		mismatch = &SettingsMismatchError{Pipeline: s.cfg.Pipeline, Table: s.table, Differences: diff}
	}
	return have, mismatch, nil
}

// ApplySettingsResult tells what was changed.
type ApplySettingsResult struct {
	// Differences that there were; none if nothing was changed.
	Differences []Difference
}

// Workers returns those that have events of the table in their hands, up to 20. One
// that waits for events is not among them. It takes no lock.
func (s *Store) Workers(ctx context.Context) ([]string, error) {
	rows, _ := s.db.Query(ctx, s.sql["lease_owners"], named{"table": s.table})
	owners, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for workers of %s: %w", s.table, hint(err))
	}
	return owners, nil
}

// ApplySettings writes the pipeline and settings down whatever is stored.
// Workers that run with what was stored before must have ended, of which Workers
// tells some: order is not kept while both work. One that runs all the same stops
// the pipeline within seconds.
func (s *Store) ApplySettings(ctx context.Context, settings Settings) (ApplySettingsResult, error) {
	var out ApplySettingsResult
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		have, err := s.lockSettings(ctx, tx)
		if err != nil {
			return err
		}
		table, err := s.registerPipeline(ctx, tx)
		if err != nil {
			return err
		}
		out.Differences = s.compare(settings, have, table)
		_, err = tx.Exec(ctx, s.sql["settings_pipeline_move"], named{"pipeline": s.cfg.Pipeline, "table": s.table})
		if err != nil {
			return err
		}
		return s.writeSettings(ctx, tx, settings)
	})
	if err != nil {
		return ApplySettingsResult{}, fmt.Errorf("apply settings of %s: %w", s.cfg.Pipeline, hint(err))
	}
	return out, nil
}

// registerPipeline makes the pipeline known and returns the table that it works
// on, which is another one if its name is taken.
func (s *Store) registerPipeline(ctx context.Context, tx pgx.Tx) (string, error) {
	_, err := tx.Exec(ctx, s.sql["settings_pipeline"], named{"pipeline": s.cfg.Pipeline, "table": s.table})
	if err != nil {
		return "", err
	}
	var table string
	err = tx.QueryRow(ctx, s.sql["settings_pipeline_table"], named{"pipeline": s.cfg.Pipeline}).Scan(&table)
	return table, err
}

// lockSettings reads what is stored, nil if nothing is, and keeps others off
// until the transaction ends.
func (s *Store) lockSettings(ctx context.Context, tx pgx.Tx) (*stored, error) {
	var have *stored
	err := tx.QueryRow(ctx, s.sql["settings_lock"], named{"table": s.table}).Scan(&have)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%s is not known in the schema omnibox: run `omnibox migrate up`", s.table)
	}
	return have, err
}

func (s *Store) writeSettings(ctx context.Context, tx pgx.Tx, settings Settings) error {
	text, err := json.Marshal(settings.stored())
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, s.sql["settings_write"], named{"table": s.table, "settings": string(text)}) // text can be sent in every mode
	return err
}

func (s *Store) compare(settings Settings, have *stored, table string) []Difference {
	var out []Difference
	add := func(key, stored, configured string) {
		if stored != configured {
			out = append(out, Difference{Key: key, Stored: stored, Configured: configured})
		}
	}
	add("table", table, s.table)
	if have != nil {
		want := settings.stored()
		add("claim", have.Claim, want.Claim)
		add("ordering", have.Ordering, want.Ordering)
		add("behind_failure", have.BehindFailure, want.BehindFailure)
		add("lease", have.Lease, want.Lease)
	}
	return out
}

// Identity says which database this is; a copy made with a dump has the same.
func (s *Store) Identity(ctx context.Context) (uuid.UUID, error) {
	var id uuid.UUID
	if err := s.db.QueryRow(ctx, s.sql["identity"]).Scan(&id); err != nil {
		return uuid.Nil, fmt.Errorf("read the identity of the database: %w", hint(err))
	}
	return id, nil
}
