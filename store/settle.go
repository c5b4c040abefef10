package store

import (
	"context"
	"crypto/md5" //nolint:gosec // tells kinds of failure apart, protects nothing
	"encoding/hex"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// verdicts are outcomes sorted by what they need.
type verdicts struct {
	succeeded, retried, dead, released []omnibox.Outcome
	// unhold are events whose hold ends, if they have one.
	unhold refs
	// over are holds that have ended but for what waits behind them.
	over []hold
}

func (v *verdicts) add(o omnibox.Outcome) {
	switch o.Verdict {
	case omnibox.Completed, omnibox.Skipped:
		v.succeeded = append(v.succeeded, o)
		if o.Event.HoldsKey {
			v.unhold.add(o.Event)
		}
	case omnibox.Retry:
		v.retried = append(v.retried, o)
	case omnibox.Dead:
		v.dead = append(v.dead, o)
		v.unhold.add(o.Event)
	case omnibox.Released:
		v.released = append(v.released, o)
	}
}

// settle writes verdicts whose leases tx has locked. Holds come before rows, as
// in every transaction that touches both; what a hold kept waiting comes last,
// in a statement whose snapshot is younger than the end of the hold.
func (s *Store) settle(ctx context.Context, tx pgx.Tx, v *verdicts) error {
	if err := s.lockPipeline(ctx, tx, v); err != nil {
		return err
	}
	freed, err := s.dropHolds(ctx, tx, v)
	if err != nil {
		return err
	}
	hold := v.retried
	var follow []omnibox.Outcome
	switch {
	case !s.ordered() || s.cfg.BehindFailure == "skip":
		hold = nil
	case s.cfg.BehindFailure == "follow":
		follow = v.dead
	}
	for _, step := range []struct {
		statement string
		outcomes  []omnibox.Outcome
		args      func([]omnibox.Outcome) named
	}{
		{"hold_keys", hold, s.holdArgs},
		{s.onComplete(), v.succeeded, refArgs},
		{"retry", v.retried, retryArgs},
		{"bury", v.dead, s.buryArgs},
		{"follow", follow, s.followArgs},
		{"release_events", s.toRelease(v.released), refArgs},
	} {
		if len(step.outcomes) == 0 {
			continue
		}
		if _, err := tx.Exec(ctx, s.sql[step.statement], step.args(step.outcomes)); err != nil {
			return err
		}
	}
	if err := s.escalate(ctx, tx, v); err != nil {
		return err
	}
	if len(freed.topics) == 0 {
		return nil
	}
	_, err = tx.Exec(ctx, s.sql["clear_held"], named{"table": s.table, "topics": freed.topics, "keys": freed.keys})
	return err
}

// dropHolds ends the holds of events, but for those that go later, and returns
// the keys that are to be set free at once.
func (s *Store) dropHolds(ctx context.Context, tx pgx.Tx, v *verdicts) (freed refs, err error) {
	if len(v.unhold.ids) == 0 {
		return freed, nil
	}
	rows, err := tx.Query(ctx, s.sql["drop_holds"], named{
		"table": s.table, "ids": v.unhold.ids.literal(), "topics": v.unhold.topics, "keys": v.unhold.keys, "most": freeChunk,
	})
	if err != nil {
		return freed, err
	}
	var h hold
	var kept bool
	_, err = pgx.ForEachRow(rows, []any{&h.Topic, &h.Key, &h.Reason, &kept}, func() error {
		if kept {
			v.over = append(v.over, h)
		} else {
			freed.topics, freed.keys = append(freed.topics, h.Topic), append(freed.keys, h.Key)
		}
		return nil
	})
	return freed, err
}

// toRelease leaves out what nothing has been written for.
func (s *Store) toRelease(released []omnibox.Outcome) []omnibox.Outcome {
	if s.cfg.Claim == ClaimRow {
		return released
	}
	var marked []omnibox.Outcome
	for _, o := range released {
		if o.Event.Fetches > 0 {
			marked = append(marked, o)
		}
	}
	return marked
}

func (s *Store) holdArgs(outcomes []omnibox.Outcome) named {
	args := refArgs(outcomes)
	args["table"], args["owner"] = s.table, s.cfg.Owner
	return args
}

func (s *Store) followArgs(outcomes []omnibox.Outcome) named {
	args := refArgs(outcomes)
	args["table"], args["pipeline"] = s.table, s.cfg.Pipeline
	return s.ours(args)
}

func retryArgs(outcomes []omnibox.Outcome) named {
	args := failureArgs(outcomes)
	counted, delays := make([]bool, len(outcomes)), make([]int64, len(outcomes))
	for i, o := range outcomes {
		counted[i], delays[i] = o.Counted, o.Delay.Microseconds()
	}
	args["counted"], args["delays"] = counted, delays
	return args
}

func (s *Store) buryArgs(outcomes []omnibox.Outcome) named {
	args := failureArgs(outcomes)
	prints := make([]string, len(outcomes))
	for i, o := range outcomes {
		prints[i] = fingerprint(o.Class, o.Error)
	}
	args["table"], args["pipeline"], args["fingerprints"] = s.table, s.cfg.Pipeline, prints
	return args
}

func failureArgs(outcomes []omnibox.Outcome) named {
	args := refArgs(outcomes)
	texts, classes, attempts := make([]string, len(outcomes)), make([]string, len(outcomes)), make([]int32, len(outcomes))
	for i, o := range outcomes {
		texts[i], classes[i], attempts[i] = LastError(o.Error), string(o.Class), int32(o.Attempts)
	}
	args["errors"], args["classes"], args["attempts"] = texts, classes, attempts
	return args
}

// LastError makes an error fit for a row: omni-box refuses a blank one and cuts
// at the same place; Postgres refuses bytes that are not UTF-8, and NUL.
func LastError(text string) string {
	const suffix = "... [TRUNCATED]"
	text = strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD"))
	if text == "" {
		return "unknown error"
	}
	if len(text) <= omnibox.MaxErrorBytes {
		return text
	}
	end := omnibox.MaxErrorBytes - len(suffix)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + suffix
}

// variable are the parts of an error that differ between failures of one kind.
var variable = regexp.MustCompile(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|0x[0-9a-fA-F]+|[0-9]+`)

// fingerprint is equal for failures of the same kind.
func fingerprint(class omnibox.Class, text string) string {
	sum := md5.Sum([]byte(string(class) + "\n" + variable.ReplaceAllString(text, "#"))) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}
