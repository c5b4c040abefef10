package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/omnibox-go/omnibox"
)

// States of a row that was read.
const (
	rowTaken   = 0
	rowWaits   = 1 // leased, or not due yet
	rowBlocked = 2 // by a hold
	rowYoung   = 3 // due after elders that were not read yet
)

// row is a row as read_due.sql returns it.
type row struct {
	omnibox.Event
	state       int
	isCut       bool
	isScheduled bool
	lapsed      bool // its own lease has run out
}

// comesLater tells whether a row is left for a later read: the cursor must not
// move past it.
func (r *row) comesLater() bool { return r.isCut || r.state == rowYoung }

// page is what one read returned.
type page struct {
	rows   []row
	paused bool
	// reached is the place that was given last before the read.
	reached int64
	full    uint64 // slots of which there may be more, a bit each
	cut     uint64 // slots of which something did not fit
}

// columns of read_due.sql: of the read, of a row, and of where a message of an
// inbox came from.
const headColumns, rowColumns, originColumns = 4, 24, 7

// collect reads a page. It scans by hand: reflection per row would cost as much
// as the database.
func (s *Store) collect(rows pgx.Rows, capacity int) (page, error) {
	defer rows.Close()
	p := page{rows: make([]row, 0, capacity)}
	var full, cut int64
	columns := rowColumns
	if s.isInbox() {
		columns += originColumns
	}
	var r row // each is read here, so that the targets are made once
	var origin omnibox.Origin
	var flags int
	var seq *int64
	var payload, headers []byte
	targets := append(make([]any, 0, headColumns+columns), &p.paused, &p.reached, &full, &cut, &r.Fence.Slot, &flags,
		(*[16]byte)(&r.ID), (*finite)(&r.CreatedAt), &seq, &r.Topic, &r.Key, (*finite)(&r.ScheduledAt),
		&r.Type, (*optional)(&r.Aggregate.Type), (*optionalID)(&r.Aggregate.ID),
		&payload, &headers, &r.Body,
		(*optional)(&r.ContentType), (*optional)(&r.SchemaVersion), (*optional)(&r.TraceID),
		(*optional)(&r.CorrelationID), (*optional)(&r.CausationID), (*optional)(&r.IdempotencyKey),
		&r.MaxAttempts, &r.Attempts, &r.Fetches, &r.Replays)
	if s.isInbox() {
		targets = appendOrigin(targets, &origin)
	}
	for rows.Next() {
		if rows.RawValues()[headColumns] == nil { // no slot: nothing was found
			if err := rows.Scan(append([]any{&p.paused, &p.reached, &full, &cut}, make([]any, columns)...)...); err != nil {
				return page{}, err
			}
			continue
		}
		r, origin = row{}, omnibox.Origin{}
		err := rows.Scan(targets...)
		if err != nil {
			return page{}, err
		}
		r.set(flags, seq)
		if s.isInbox() {
			its := origin
			r.Origin = &its
			r.setOrigin()
		}
		if r.CreatedAt.IsZero() && r.state == rowTaken {
			r.state = rowWaits
		}
		if payload != nil {
			r.Payload = json.RawMessage(compact(payload))
		}
		if r.Headers, err = readHeaders(headers); err != nil {
			return page{}, fmt.Errorf("headers of event %s: %w", r.ID, err)
		}
		p.rows = append(p.rows, r)
	}
	p.full, p.cut = uint64(full), uint64(cut)
	return p, rows.Err()
}

// set unpacks flags; a row without a number comes last.
func (r *row) set(flags int, seq *int64) {
	r.state = flags & 3
	r.isCut, r.isScheduled, r.HoldsKey, r.lapsed = flags&4 != 0, flags&8 != 0, flags&16 != 0, flags&32 != 0
	if r.Seq = unnumbered; seq != nil {
		r.Seq = *seq
	}
}

// optional is a string that is empty where the column is null.
type optional string

// ScanText takes the value of a column.
func (o *optional) ScanText(v pgtype.Text) error {
	*o = optional(v.String)
	return nil
}

// optionalID is a UUID that is zero where the column is null.
type optionalID uuid.UUID

// ScanUUID takes the value of a column.
func (o *optionalID) ScanUUID(v pgtype.UUID) error {
	*o = v.Bytes
	return nil
}

// finite is a time that is zero where the column is infinite, which Postgres 17
// and later let a row be. A row scheduled at minus infinity is due. One that was
// created at no time cannot be referred to, and so not be settled: it is passed
// over, as if it waited. Neither must stop the others.
type finite time.Time

// ScanTimestamptz takes the value of a column.
func (f *finite) ScanTimestamptz(v pgtype.Timestamptz) error {
	*f = finite(time.Time{})
	if v.InfinityModifier == pgtype.Finite {
		*f = finite(v.Time)
	}
	return nil
}

// compact removes in place the spaces that jsonb writes behind colons and commas.
func compact(jsonb []byte) []byte {
	out := jsonb[:0]
	for rest := jsonb; len(rest) > 0; {
		quote := bytes.IndexByte(rest, '"')
		if quote < 0 {
			quote = len(rest)
		}
		for _, c := range rest[:quote] {
			if c != ' ' {
				out = append(out, c)
			}
		}
		rest = rest[quote:]
		end := stringEnd(rest)
		out = append(out, rest[:end]...)
		rest = rest[end:]
	}
	return out
}

// stringEnd is the length of the JSON string that s begins with.
func stringEnd(s []byte) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// readHeaders takes SQL null and JSON null for no headers, and a value that is
// not a string as it is written: one odd row must not stop the others.
func readHeaders(text []byte) (map[string]string, error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, nil
	}
	if headers, ok := plainHeaders(text); ok {
		return headers, nil
	}
	var headers map[string]string
	if json.Unmarshal(text, &headers) == nil {
		return headers, nil
	}
	var odd map[string]json.RawMessage
	if err := json.Unmarshal(text, &odd); err != nil {
		return nil, err
	}
	headers = make(map[string]string, len(odd))
	for k, raw := range odd {
		var value string
		if json.Unmarshal(raw, &value) != nil {
			value = string(raw)
		}
		headers[k] = value
	}
	return headers, nil
}

// plainHeaders reads an object of strings without escapes: nearly all are, and
// a decoder would cost as much as the rest of the row.
func plainHeaders(text []byte) (map[string]string, bool) {
	if bytes.IndexByte(text, '\\') >= 0 {
		return nil, false
	}
	parts := bytes.Split(text[1:len(text)-1], []byte{'"'}) // "", key, `: `, value, `, `, key, …
	if len(parts)%4 != 1 {
		return nil, false
	}
	headers := make(map[string]string, len(parts)/4)
	for i := 0; i+4 < len(parts); i += 4 {
		if string(bytes.TrimSpace(parts[i+2])) != ":" {
			return nil, false
		}
		headers[string(parts[i+1])] = string(parts[i+3])
	}
	return headers, true
}

// unnumbered is the seq of a row that has none.
const unnumbered = math.MaxInt64
