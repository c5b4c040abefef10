package broker

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
)

// EnvelopeMode says when the body of a message is taken for an envelope: JSON
// that holds the payload among what is known about it.
type EnvelopeMode string

// The modes.
const (
	// EnvelopeAuto: when it has exactly the members that SchemaVersioned or Envelope
	// give it, with the version that the header has, and the message names no content
	// type. A body that just happens to have a member named payload stays whole; one
	// that has nothing else but a null schema_version cannot be told apart.
	EnvelopeAuto EnvelopeMode = "auto"
	// EnvelopeAlways: when it has a member named payload, which is omni-box's rule.
	EnvelopeAlways EnvelopeMode = "always"
	// EnvelopeNever takes every body as it is.
	EnvelopeNever EnvelopeMode = "never"
)

// ReaderConfig says how events are made of messages. The zero value reads what
// omnibox and omni-box publish, and most of what others do.
type ReaderConfig struct {
	// Envelope says when a body is taken for an envelope. Defaults to
	// EnvelopeAuto.
	Envelope EnvelopeMode
	// IDHeader names a header that has the message's id, for producers that send
	// neither message_id nor event_id. Defaults to none.
	IDHeader string
	// IDPath leads to the message's id in its JSON body, for producers that send
	// no header with it: names of members with dots between them, such as
	// "meta.id", from the top of the body as it came. What it leads to is a string
	// or number. Defaults to none.
	IDPath string
	// Strict makes a message unreadable that does not say its id and its type, as
	// all those of omnibox and omni-box do. Defaults to false: its place
	// "topic:partition:offset" is its id then, and its topic its type.
	Strict bool
}

// Validate reports every mistake at once: the error joins a *FieldError for each.
func (c *ReaderConfig) Validate() error {
	var errs []error
	if !slices.Contains([]EnvelopeMode{"", EnvelopeAuto, EnvelopeAlways, EnvelopeNever}, c.Envelope) {
		errs = append(errs, Mistake("envelope", "%q is not one of auto, always, never", c.Envelope))
	}
	if n := utf8.RuneCountInString(c.IDHeader); n > omnibox.MaxHeaderKey || c.IDHeader != strings.TrimSpace(c.IDHeader) {
		errs = append(errs, Mistake("id_header", "%q is no name of a header: at most %d characters, without blanks around it", c.IDHeader, omnibox.MaxHeaderKey))
	}
	if c.IDPath != "" && slices.Contains(strings.Split(c.IDPath, "."), "") {
		errs = append(errs, Mistake("id_path", "%q has an empty name: write names with one dot between them, such as meta.id", c.IDPath))
	}
	return errors.Join(errs...)
}

// Reader makes events of messages. It is safe for concurrent use.
type Reader struct {
	conf ReaderConfig
	path []string
}

// NewReader makes a reader. The error is that of Validate.
func NewReader(conf ReaderConfig) (*Reader, error) {
	if err := conf.Validate(); err != nil {
		return nil, err
	}
	conf.Envelope = cmp.Or(conf.Envelope, EnvelopeAuto)
	r := &Reader{conf: conf}
	if conf.IDPath != "" {
		r.path = strings.Split(conf.IDPath, ".")
	}
	return r, nil
}

// Read makes the event of a message, with its Origin, and with a new id. It may
// share memory with the message.
//
// What the event has of its own is left out of Headers; the rest is there. Of a
// header that is there twice the last one counts, and one without a value is
// left out. A JSON object becomes the Payload, with numbers as written; other
// JSON the Body, with content type application/json; what is not JSON the Body,
// if the message names its content type.
//
// A message of which no event can be made that the inbox, or omni-box, could
// hold comes as an event with Origin.Unreadable set, which says what is wrong
// and where, but quotes no value; and then with its raw value and headers.
func (r *Reader) Read(m Message) *omnibox.Event {
	m.Time = plausible(m.Time)
	e := &omnibox.Event{ID: uuid.New(), Topic: m.Topic, Origin: &omnibox.Origin{
		Partition: m.Partition, Offset: m.Offset, Key: m.Key, OccurredAt: m.Time,
	}}
	err := r.fill(e, m)
	if err == nil {
		err = omnibox.PrepareReceived(e)
	}
	if err != nil {
		return unreadable(m, err)
	}
	e.Key = orderKey(m.Key, e.Origin.MessageID)
	return e
}

// fill sets what the message says.
func (r *Reader) fill(e *omnibox.Event, m Message) error {
	h := gather(m.Headers)
	e.Headers = h.rest
	e.SchemaVersion, e.TraceID = h.schemaVersion.value, h.traceID.value
	e.CorrelationID, e.CausationID = h.correlationID.value, h.causationID.value
	e.Type, e.Origin.Source = h.eventType.value, cmp.Or(h.source.value, h.sourceService.value, m.Topic)
	if err := h.blank(); err != nil {
		return err
	}
	body, err := content(e, &h, m.Value)
	if err != nil {
		return err
	}
	if err := r.identify(e, &h, m, body); err != nil {
		return err
	}
	if e.Type == "" {
		e.Type = typeOf(body)
	}
	if e.Type == "" {
		if r.conf.Strict {
			return errors.New("event type is missing: it has no header event_type, and no such string in its body")
		}
		e.Type = m.Topic
	}
	if h.contentType.set && r.conf.Envelope == EnvelopeAuto {
		return nil
	}
	return r.unwrap(e, body)
}

// identify sets the message's id.
func (r *Reader) identify(e *omnibox.Event, h *headerSet, m Message, body []byte) error {
	id := cmp.Or(h.messageID.value, h.eventID.value)
	if id == "" && r.conf.IDHeader != "" {
		id = h.value(r.conf.IDHeader)
	}
	if id == "" && r.path != nil {
		found := find(body, r.path)
		switch {
		case isString(found):
			id = text(found)
		case isNumber(found):
			id = string(found)
		case found != nil && string(found) != "null":
			return fmt.Errorf("body has neither a string nor a number at %s, where the message's id should be", r.conf.IDPath)
		}
	}
	if id == "" {
		if r.conf.Strict {
			return errors.New("message id is missing: " + r.places())
		}
		id = place(m)
	}
	e.Origin.MessageID = id
	return nil
}

// places where an id is looked for.
func (r *Reader) places() string {
	s := "it has neither a header message_id nor event_id"
	if r.conf.IDHeader != "" {
		s += fmt.Sprintf(", nor %q", r.conf.IDHeader)
	}
	if r.path != nil {
		s += fmt.Sprintf(", nor %s in its body", r.conf.IDPath)
	}
	return s
}

// find follows a path from the top of a body.
func find(body []byte, path []string) []byte {
	for _, name := range path {
		var next []byte
		for key, value := range members(body) {
			if key == name {
				next = value
			}
		}
		body = next
	}
	return body
}

// typeOf gives the event type that a body tells.
func typeOf(body []byte) string {
	if t := find(body, []string{eventType}); isString(t) {
		return strings.TrimSpace(text(t))
	}
	return ""
}

// place stands for an id: no two messages have the same.
func place(m Message) string {
	where := fmt.Sprintf(":%d:%d", m.Partition, m.Offset)
	if utf8.RuneCountInString(m.Topic)+len(where) > omnibox.MaxMessageID {
		return digest([]byte(m.Topic)) + where
	}
	return m.Topic + where
}

// orderKey is what orders the event: the key itself if a row can hold it, and
// what is as good otherwise. Without a key it is the message's id, so that the
// message waits for no other.
func orderKey(key []byte, id string) string {
	switch {
	case len(key) == 0:
		return id
	case !utf8.Valid(key) || utf8.RuneCount(key) > omnibox.MaxKey || slices.Contains(key, 0) || len(strings.TrimSpace(string(key))) == 0:
		return digest(key)
	}
	return string(key)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// plausible is a time, and none if no calendar has it: a producer may set any, such
// as one in another unit, and neither a database nor JSON can hold them all.
func plausible(t time.Time) time.Time {
	if t.Year() < 1 || t.Year() > 9998 { // 9999 would be over in some time zone
		return time.Time{}
	}
	return t
}

// unreadable keeps a message of which no event can be made.
func unreadable(m Message, err error) *omnibox.Event {
	id := place(m)
	e := &omnibox.Event{
		ID: uuid.New(), Topic: m.Topic, Key: orderKey(m.Key, id), Type: cut(m.Topic, omnibox.MaxType),
		Body: m.Value, ContentType: "application/octet-stream",
		Origin: &omnibox.Origin{
			MessageID: id, Source: m.Topic, Partition: m.Partition, Offset: m.Offset, Key: m.Key, OccurredAt: m.Time,
			Unreadable: cutBytes(strings.TrimPrefix(err.Error(), "invalid event: "), omnibox.MaxErrorBytes), RawHeaders: rawHeaders(m.Headers),
		},
	}
	return e
}

// rawHeader is a header as it came.
type rawHeader struct {
	Key string `json:"key"`
	// KeyBytes are there if Key cannot say them.
	KeyBytes []byte `json:"key_bytes,omitempty"`
	Value    []byte `json:"value"`
}

func rawHeaders(headers []Header) []byte {
	raw := make([]rawHeader, len(headers))
	for i, h := range headers {
		raw[i] = rawHeader{Key: h.Key, Value: h.Value}
		if !utf8.ValidString(h.Key) || strings.ContainsRune(h.Key, 0) { // jsonb holds neither
			raw[i].Key, raw[i].KeyBytes = strings.ToValidUTF8(strings.ReplaceAll(h.Key, "\x00", "\uFFFD"), "\uFFFD"), []byte(h.Key)
		}
	}
	out, err := json.Marshal(raw)
	if err != nil {
		return []byte("[]") // nothing of it can fail
	}
	return out
}

// cut gives at most n characters of s.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// cutBytes gives at most n bytes of s, and no half of a character.
func cutBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
