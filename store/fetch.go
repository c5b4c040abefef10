package store

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// read reads a page of what is due. It takes no lock.
func (s *Store) read(ctx context.Context, db batcher, from start, n int) (p page, err error) {
	err = s.queryUnder(ctx, db, s.reading, "read_due", s.readArgs(from, n), func(rows pgx.Rows) (err error) {
		p, err = s.collect(rows, n)
		return err
	})
	return p, err
}

// reading gives byIndex that also notes which place of a table was given last: before
// the read, in a statement of its own, so that whatever gets a later place than one
// that the read can see is behind that. Rows that were numbered by hand, of a table
// that was adopted, come before where the sequence starts.
func reading(quoted string) string {
	sequence := "pg_get_serial_sequence('" + strings.ReplaceAll(quoted, "'", "''") + "', 'seq')::regclass"
	return byIndex + ", set_config('omnibox.reached', coalesce(pg_sequence_last_value(" + sequence + ")," +
		" (select seqstart - 1 from pg_sequence where seqrelid = " + sequence + "))::text, true)"
}

func (s *Store) readArgs(from start, n int) named {
	return s.filterArgs(named{
		"table": s.table, "pipeline": s.cfg.Pipeline,
		"slots": from.slots, "after": from.after, "upto": from.upto, "after_at": from.afterAt, "after_at_seq": from.afterAtSeq,
		"per_slot": from.perSlot, "n": n, "max_bytes": s.cfg.MaxFetchBytes,
		"unnumbered": from.unnumbered, "ordered": s.ordered(),
	})
}

func (s *Store) ordered() bool { return s.cfg.Ordering == "key" }

// taken is what a page gave.
type taken struct {
	events  []omnibox.Event
	blocked []omnibox.Event // by a hold, to be marked
	more    bool
}

// take moves the cursors behind a page and picks what may be handed out. A page
// whose cursors were set back meanwhile is dropped: it is read again.
func (c *cursors) take(p page, from start, n int, ordered bool) taken {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rewinds != from.rewindsThen {
		return taken{more: true}
	}
	out := taken{events: make([]omnibox.Event, 0, len(p.rows)), more: p.full|p.cut != 0}
	firstCut := cutOffs(p.rows)
	for i := range p.rows {
		r := &p.rows[i]
		cur := c.slots[r.Fence.Slot]
		if cur == nil || r.comesLater() || !cur.advance(r, firstCut) {
			continue
		}
		key := r.OrderKey()
		switch {
		case r.state == rowBlocked:
			out.blocked = append(out.blocked, r.Event)
			c.passOver(&r.Event)
		case r.state == rowWaits:
			c.passOver(&r.Event)
		case ordered && c.mustWait(key, r.Seq):
			// its elder was passed over: so is it
		default:
			if r.HoldsKey {
				c.passOver(&r.Event)
			}
			r.Suspect = cur.suspect > 0 || r.Fetches > 0 || r.lapsed
			cur.suspect--
			out.events = append(out.events, r.Event)
		}
	}
	for _, slot := range from.slots {
		cur := c.slots[int(slot)]
		if cur == nil {
			continue
		}
		if cur.upto == math.MaxInt64 { // read from its start
			cur.upto = p.reached
		}
		if (p.full|p.cut)&(1<<slot) == 0 {
			cur.suspect = 0 // all that the last owner can have had in hand has been read
			cur.ended = true
		}
	}
	c.adapt(len(out.events), n, p.full != 0, p.cut != 0)
	return out
}

// cutOffs finds the first scheduled row of each slot, in the order of its
// cursor, that is left for a later read.
func cutOffs(rows []row) map[int]*row {
	var first map[int]*row
	for i := range rows {
		r := &rows[i]
		if !r.comesLater() {
			continue
		}
		if first == nil {
			first = map[int]*row{}
		}
		if f := first[r.Fence.Slot]; f == nil || later(f.ScheduledAt, f.Seq, r.ScheduledAt, r.Seq) {
			first[r.Fence.Slot] = r
		}
	}
	return first
}

// advance moves the cursor to r; it returns false if r was here before. A
// scheduled row behind one that is left for later leaves the cursor where it is and
// is remembered.
func (c *cursor) advance(r *row, firstCut map[int]*row) bool {
	if !r.isScheduled {
		if r.Seq != unnumbered {
			c.after = max(c.after, r.Seq)
		}
		return true
	}
	seen := c.ahead[r.ID]
	if f := firstCut[r.Fence.Slot]; f != nil && later(r.ScheduledAt, r.Seq, f.ScheduledAt, f.Seq) {
		if c.ahead == nil {
			c.ahead = map[uuid.UUID]bool{}
		}
		c.ahead[r.ID] = true
		return !seen
	}
	delete(c.ahead, r.ID)
	if later(r.ScheduledAt, r.Seq, c.at, c.atSeq) {
		c.at, c.atSeq = r.ScheduledAt, r.Seq
	}
	return !seen
}

// pick turns one page into events, marking what a hold blocks.
type pick func(ctx context.Context, from start, n int) (taken, error)

// fetch reads on until there is something to hand out or nothing is due, so that
// a key with many blocked rows does not hide the others.
func (s *Store) fetch(ctx context.Context, c *cursors, n int, deadline func() time.Time, pick pick) ([]omnibox.Event, bool, error) {
	if n < 1 {
		return nil, true, nil
	}
	for unnumbered := false; ; {
		from := c.begin(n)
		from.unnumbered = unnumbered
		got, err := pick(ctx, from, n)
		if err == nil && len(got.blocked) > 0 {
			err = s.markHeld(ctx, got.blocked)
		}
		if err != nil {
			return nil, false, s.wrap("fetch", err)
		}
		unnumbered = false
		switch {
		case len(got.events) > 0:
			return got.events, got.more, nil
		case got.more && time.Now().Before(deadline()):
		case got.more:
			return nil, true, nil
		case c.lookOnce():
			unnumbered = true
		default:
			return nil, false, nil
		}
	}
}

// lookOnce is true the first time.
func (c *cursors) lookOnce() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.looked
	c.looked = true
	if first {
		for _, slot := range c.slots {
			slot.ended = false
		}
	}
	return first
}

// markHeld takes rows that a hold blocks out of the fetch's index.
func (s *Store) markHeld(ctx context.Context, blocked []omnibox.Event) error {
	o := refsOf(blocked)
	return s.query(ctx, s.db, "mark_held", named{
		"table": s.table, "ids": o.ids.literal(), "created_ats": o.createdAts, "topics": o.topics, "keys": o.keys,
	}, done)
}

// refs are columns that tell a statement which rows are meant.
type refs struct {
	ids        uuids
	createdAts []time.Time
	topics     []string
	keys       []string
	slots      []int16
	tokens     []int64
	seqs       []int64
}

// uuids as an argument are the text of an array: it is what every protocol mode
// of pgx can send.
type uuids []uuid.UUID

func (ids uuids) literal() string {
	text := make([]byte, 0, 37*len(ids)+2)
	text = append(text, '{')
	for i, id := range ids {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, id.String()...)
	}
	return string(append(text, '}'))
}

func refsOf(events []omnibox.Event) refs {
	var r refs
	for i := range events {
		r.add(&events[i])
	}
	return r
}

func (r *refs) add(e *omnibox.Event) {
	r.ids = append(r.ids, e.ID)
	r.createdAts = append(r.createdAts, e.CreatedAt)
	r.topics = append(r.topics, e.Topic)
	r.keys = append(r.keys, e.Key)
	r.slots = append(r.slots, int16(e.Fence.Slot))
	r.tokens = append(r.tokens, e.Fence.Token)
	r.seqs = append(r.seqs, e.Seq)
}
