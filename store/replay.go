package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// resolveChunk is how many dead events one transaction replays or discards: few
// enough for its locks to be short.
const resolveChunk = 500

// Refusal says why a dead event was left as it is.
type Refusal struct {
	ID     DeadID
	Reason string
	// Unknown says that the table has neither an event nor a letter of this id.
	Unknown bool
}

// ReplayParams choose dead events to put back: those of IDs or, if there are
// none, the open dead letters of Filter.
type ReplayParams struct {
	IDs    []DeadID
	Filter DeadFilter
	// By is who asks. Required.
	By string
	// Limit is the most events that are put back; 0 for no limit. Only with
	// Filter.
	Limit int
	// DryRun changes nothing and counts what would be put back.
	DryRun bool
	// Progress, if set, is told the number so far after every transaction.
	Progress func(done int)
}

// ReplayResult tells what was put back.
type ReplayResult struct {
	Replayed int
	Refused  []Refusal
	// Until is the time by the database's clock from which on letters were left alone,
	// if there were no IDs. With it as the filter's Until, a call does what a dry run
	// has counted, and not what has died since.
	Until time.Time
}

// Replay puts dead events back: they are pending and due, with no attempts
// made. It is the only way back from failed. The oldest go first, in
// transactions of at most 500; when one fails those before it stay done, and
// the result says how many.
//
// It waits for the locks of others who replay or discard the same events, of
// whom one succeeds.
func (s *Store) Replay(ctx context.Context, p ReplayParams) (ReplayResult, error) {
	if p.By == "" {
		return ReplayResult{}, errors.New("replay: By is required: who asks")
	}
	r := resolution{verb: "replayed", by: p.By, limit: p.Limit, dryRun: p.DryRun, progress: p.Progress, inTx: s.replay}
	err := s.resolve(ctx, &r, p.IDs, p.Filter)
	if err != nil {
		err = fmt.Errorf("replay dead letters of %s: %w", s.table, hint(err))
	}
	return ReplayResult{Replayed: r.done, Refused: r.refused, Until: r.until}, err
}

// DiscardParams choose dead events to give up on purpose, as ReplayParams do.
type DiscardParams struct {
	IDs    []DeadID
	Filter DeadFilter
	// By is who asks. Required.
	By string
	// Note says why, for those who look later.
	Note string
	// Limit is the most that are discarded; 0 for no limit. Only with Filter.
	Limit    int
	DryRun   bool
	Progress func(done int)
}

// DiscardResult tells what was given up.
type DiscardResult struct {
	Discarded int
	Refused   []Refusal
	// Until is as in ReplayResult.
	Until time.Time
}

// Discard closes dead letters without a replay; the rows stay failed. It works
// in transactions of at most 500, as Replay does. A discarded event can still
// be replayed by its id.
func (s *Store) Discard(ctx context.Context, p DiscardParams) (DiscardResult, error) {
	if p.By == "" {
		return DiscardResult{}, errors.New("discard: By is required: who asks")
	}
	r := resolution{verb: "discarded", by: p.By, note: p.Note, limit: p.Limit, dryRun: p.DryRun, progress: p.Progress, inTx: s.discard}
	err := s.resolve(ctx, &r, p.IDs, p.Filter)
	if err != nil {
		err = fmt.Errorf("discard dead letters of %s: %w", s.table, hint(err))
	}
	return DiscardResult{Discarded: r.done, Refused: r.refused, Until: r.until}, err
}

// deadRef refers to a dead event's row and letter. Letter is 0 for a row that
// failed under another relay, which wrote none.
type deadRef struct {
	Letter    int64
	EventID   uuid.UUID
	CreatedAt time.Time
	// asked is how the person referred to it.
	asked DeadID
}

// resolution is one replay or discard under way.
type resolution struct {
	verb     string
	by, note string
	limit    int
	dryRun   bool
	progress func(int)
	// inTx does it to some letters and returns those it was done to.
	inTx func(ctx context.Context, tx pgx.Tx, r *resolution, refs []deadRef) (map[uuid.UUID]bool, error)

	done    int
	refused []Refusal
	until   time.Time
}

func (s *Store) resolve(ctx context.Context, r *resolution, ids []DeadID, f DeadFilter) error {
	if len(ids) == 0 {
		return s.resolveFilter(ctx, r, f)
	}
	for len(ids) > 0 {
		n := min(len(ids), resolveChunk)
		refs, err := s.lookUp(ctx, r, ids[:n])
		if err != nil {
			return err
		}
		if r.dryRun {
			r.done += len(refs)
		} else if err := s.resolveChunk(ctx, r, refs); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// resolveFilter walks from the oldest letter to the latest that was there at
// the start: one that dies again meanwhile is not taken twice.
func (s *Store) resolveFilter(ctx context.Context, r *resolution, f DeadFilter) error {
	if f.Until.IsZero() {
		if err := s.db.QueryRow(ctx, "select clock_timestamp()").Scan(&f.Until); err != nil {
			return err
		}
	}
	r.until = f.Until
	if r.dryRun {
		return s.countDead(ctx, r, f)
	}
	args := f.args(s.table)
	args["after_at"], args["after_id"] = "-infinity", int64(0)
	for r.limit == 0 || r.done < r.limit {
		n := resolveChunk
		if r.limit > 0 {
			n = min(n, r.limit-r.done)
		}
		args["limit"] = n
		rows, _ := s.db.Query(ctx, s.sql["dead_oldest"], args)
		var lastAt time.Time
		refs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (deadRef, error) {
			var ref deadRef
			err := row.Scan(&ref.Letter, &ref.EventID, &ref.CreatedAt, &lastAt)
			ref.asked = DeadID{Event: ref.EventID}
			return ref, err
		})
		if err != nil || len(refs) == 0 {
			return err
		}
		if err := s.resolveChunk(ctx, r, refs); err != nil {
			return err
		}
		args["after_at"], args["after_id"] = lastAt, refs[len(refs)-1].Letter
	}
	return nil
}

// countDead is the dry run of a filter.
func (s *Store) countDead(ctx context.Context, r *resolution, f DeadFilter) error {
	args := f.args(s.table)
	args["limit"] = cmp.Or(r.limit, 1<<31)
	var letters, rows int
	if err := s.db.QueryRow(ctx, s.sql["dead_count"], args).Scan(&letters, &rows); err != nil {
		return err
	}
	r.done = rows
	if r.verb == "discarded" {
		r.done = letters
	}
	return nil
}

// resolveChunk does one transaction, and finds out why events were left.
func (s *Store) resolveChunk(ctx context.Context, r *resolution, refs []deadRef) error {
	if len(refs) == 0 {
		return nil
	}
	var done map[uuid.UUID]bool
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		letters := make([]int64, len(refs))
		for i, ref := range refs {
			letters[i] = ref.Letter
		}
		if _, err := tx.Exec(ctx, s.sql["dead_lock"], named{"letters": letters}); err != nil {
			return err
		}
		var err error
		done, err = r.inTx(ctx, tx, r, refs)
		return err
	})
	if err != nil {
		return err
	}
	r.done += len(done)
	if r.progress != nil {
		r.progress(r.done)
	}
	var left []DeadID
	for _, ref := range refs {
		if !done[ref.EventID] {
			left = append(left, ref.asked)
		}
	}
	if len(left) == 0 {
		return nil
	}
	// what is found fit now was not a moment ago: it died again in between
	again, err := s.lookUp(ctx, r, left)
	for _, ref := range again {
		r.refused = append(r.refused, Refusal{ID: ref.asked, Reason: "changed meanwhile; try again"})
	}
	return err
}

// lookUp finds what ids refer to and refuses those that do not fit.
func (s *Store) lookUp(ctx context.Context, r *resolution, ids []DeadID) ([]deadRef, error) {
	events, letters := make(uuids, len(ids)), make([]int64, len(ids)) // zero: none
	for i, id := range ids {
		if id.Letter != 0 {
			letters[i] = id.Letter
		} else {
			events[i] = id.Event
		}
	}
	rows, _ := s.db.Query(ctx, s.sql["dead_resolve"], named{"table": s.table, "events": events.literal(), "letters": letters})
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[known])
	if err != nil {
		return nil, err
	}
	var refs []deadRef
	seen := map[uuid.UUID]bool{}
	for _, k := range found {
		id := ids[k.N-1]
		reason := k.refusal(r.verb)
		if reason == "" && seen[*k.EventID] {
			reason = "named twice"
		}
		if reason != "" {
			r.refused = append(r.refused, Refusal{ID: id, Reason: reason, Unknown: k.unknown()})
			continue
		}
		seen[*k.EventID] = true
		refs = append(refs, deadRef{Letter: k.Letter, EventID: *k.EventID, CreatedAt: *k.CreatedAt, asked: id})
	}
	return refs, nil
}

// known is what the database knows of an id.
type known struct {
	N          int64
	Letter     int64
	State      DeadState
	ResolvedAt *time.Time
	ResolvedBy string
	EventID    *uuid.UUID
	CreatedAt  *time.Time
	Status     omnibox.Status // empty if there is no row
}

func (k known) unknown() bool { return k.Letter == 0 && k.Status == "" }

// refusal says why the event cannot be replayed or discarded; empty if it can.
func (k known) refusal(verb string) string {
	switch {
	case k.unknown():
		return "no event or dead letter of this table has this id"
	case verb == "replayed" && k.Status == "":
		return "its row is gone from the table"
	case k.State == DeadReplayed && k.Status == omnibox.StatusFailed && verb == "replayed":
		return "" // put back and failed again under another relay, which wrote no letter
	case k.State == DeadReplayed, verb == "discarded" && k.State == DeadDiscarded:
		return fmt.Sprintf("already %s on %s by %s; it is %s now", k.State,
			k.ResolvedAt.UTC().Format(time.DateTime), cmp.Or(k.ResolvedBy, "unknown"), cmp.Or(k.Status, "gone"))
	case verb == "replayed" && k.Status != omnibox.StatusFailed:
		return fmt.Sprintf("not dead: it is %s", k.Status)
	case verb == "discarded" && k.Letter == 0:
		return fmt.Sprintf("has no dead letter: it is %s", k.Status)
	}
	return ""
}

func (s *Store) replay(ctx context.Context, tx pgx.Tx, r *resolution, refs []deadRef) (map[uuid.UUID]bool, error) {
	events, created, letters := make(uuids, len(refs)), make([]time.Time, len(refs)), make([]int64, len(refs))
	for i, ref := range refs {
		events[i], created[i], letters[i] = ref.EventID, ref.CreatedAt, ref.Letter
	}
	rows, _ := tx.Query(ctx, s.sql["dead_replay"], named{
		"events": events.literal(), "created": created, "letters": letters, "by": r.by, "table": s.table, "quoted": QuoteTable(s.table),
	})
	done := map[uuid.UUID]bool{}
	var id uuid.UUID
	_, err := pgx.ForEachRow(rows, []any{&id, nil, nil}, func() error {
		done[id] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done, s.notify(ctx, tx)
}

func (s *Store) discard(ctx context.Context, tx pgx.Tx, r *resolution, refs []deadRef) (map[uuid.UUID]bool, error) {
	byLetter := make(map[int64]uuid.UUID, len(refs))
	letters := make([]int64, len(refs))
	for i, ref := range refs {
		letters[i], byLetter[ref.Letter] = ref.Letter, ref.EventID
	}
	rows, _ := tx.Query(ctx, s.sql["dead_discard"], named{"letters": letters, "by": r.by, "note": r.note})
	discarded, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	done := make(map[uuid.UUID]bool, len(discarded))
	for _, letter := range discarded {
		done[byLetter[letter]] = true
	}
	return done, err
}

// notify wakes workers up when tx commits.
func (s *Store) notify(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, s.sql["notify"], named{"quoted": QuoteTable(s.table)}); err != nil {
		return fmt.Errorf("wake workers of %s: %w", s.table, err)
	}
	return nil
}
