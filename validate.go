package omnibox

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Rule is what a field breaks.
type Rule string

// The rules.
const (
	RuleRequired Rule = "required" // missing or blank
	RuleLength   Rule = "length"   // longer than Limit, in characters
	RuleSize     Rule = "size"     // larger than Limit, in bytes
	RuleCount    Rule = "count"    // more entries than Limit
	RuleRange    Rule = "range"    // outside of what is allowed
	RuleFormat   Rule = "format"   // cannot be read as what it should be
	RuleConflict Rule = "conflict" // excludes, needs or repeats another
)

// FieldError is one mistake of an event. It never holds any of the payload, or
// of a header's value.
type FieldError struct {
	// Event is the index of the event among those that were given.
	Event int
	// Field as Event names it; that of a header has its key.
	Field string
	Rule  Rule
	// Limit that was broken and what was Found; 0 where the rule has none.
	Limit, Found int
	// Message says it in words, without the field.
	Message string
}

func (e FieldError) Error() string { return e.Field + " " + e.Message }

// ValidationError lists every mistake of the events that were given.
type ValidationError struct {
	// Events is how many were given.
	Events int
	Fields []FieldError
}

func (e *ValidationError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Error()
		if e.Events > 1 {
			parts[i] = fmt.Sprintf("event %d: %s", f.Event, parts[i])
		}
	}
	return "invalid event: " + strings.Join(parts, "; ")
}

// Validate reports every mistake of an event that is to be enqueued, as a
// *ValidationError. It does not change the event: blanks around strings, which
// Enqueue strips, are no mistake.
func (e *Event) Validate() error {
	_, err := Prepare(*e)
	return err
}

// Prepare returns the events as Enqueue writes them: blanks around strings
// stripped, ids and MaxAttempts filled in, Payload a compact json.RawMessage,
// times rounded to what the database keeps. The events that were given are left
// as they are. The error is a *ValidationError with every mistake of all.
func Prepare(events ...Event) ([]Event, error) {
	v := validator{now: time.Now()}
	prepared := slices.Clone(events)
	ids := make(map[uuid.UUID]int, len(events))
	for i := range prepared {
		v.event = i
		v.prepare(&prepared[i])
		if first, repeated := ids[prepared[i].ID]; repeated {
			v.add("ID", RuleConflict, 0, 0, "is that of event %d", first)
		}
		ids[prepared[i].ID] = i
	}
	if len(v.fields) > 0 {
		return nil, &ValidationError{Events: len(events), Fields: v.fields}
	}
	return prepared, nil
}

// validator gathers mistakes.
type validator struct {
	now    time.Time
	event  int
	fields []FieldError
}

func (v *validator) add(field string, rule Rule, limit, found int, format string, args ...any) {
	v.fields = append(v.fields, FieldError{
		Event: v.event, Field: field, Rule: rule, Limit: limit, Found: found,
		Message: fmt.Sprintf(format, args...),
	})
}

func (v *validator) prepare(e *Event) {
	if e.ID == uuid.Nil {
		e.ID = uuid.New()
	} else if e.ID.Version() != 4 || e.ID.Variant() != uuid.RFC4122 {
		v.add("ID", RuleFormat, 0, 0, "must be a UUID of version 4")
	}
	v.required("Topic", &e.Topic, MaxTopic)
	v.required("Key", &e.Key, MaxKey)
	v.required("Type", &e.Type, MaxType)
	v.required("Aggregate.Type", &e.Aggregate.Type, MaxAggregateType)
	if e.Aggregate.ID == uuid.Nil {
		v.add("Aggregate.ID", RuleRequired, 0, 0, "is required")
	}
	v.optional("SchemaVersion", &e.SchemaVersion, MaxSchemaVersion)
	v.optional("TraceID", &e.TraceID, MaxTraceID)
	v.optional("CorrelationID", &e.CorrelationID, MaxCorrelationID)
	v.optional("CausationID", &e.CausationID, MaxCausationID)
	v.optional("IdempotencyKey", &e.IdempotencyKey, MaxIdempotencyKey)
	v.content(e)
	e.Headers = v.headers(e.Headers)
	v.schedule(e)
	if e.MaxAttempts == 0 {
		e.MaxAttempts = DefaultMaxAttempts
	}
	if e.MaxAttempts < 1 || e.MaxAttempts > maxInt32 {
		v.add("MaxAttempts", RuleRange, maxInt32, e.MaxAttempts, "is %d, must be from 1 to %d", e.MaxAttempts, maxInt32)
	}
}

// maxInt32 is what the column of attempts holds.
const maxInt32 = 1<<31 - 1

func (v *validator) schedule(e *Event) {
	if e.ScheduledAt.IsZero() {
		return
	}
	e.ScheduledAt = e.ScheduledAt.UTC().Truncate(time.Microsecond)
	switch ahead := e.ScheduledAt.Sub(v.now); {
	case ahead < -MaxScheduleSkew:
		v.add("ScheduledAt", RuleRange, int(MaxScheduleSkew.Seconds()), int(-ahead.Seconds()),
			"is %s ago, at most %s are allowed", -ahead.Round(time.Second), MaxScheduleSkew)
	case ahead > MaxSchedule:
		v.add("ScheduledAt", RuleRange, int(MaxSchedule.Seconds()), int(ahead.Seconds()),
			"is more than %d days ahead", int(MaxSchedule.Hours()/24))
	}
}

// required checks a string that must be there.
func (v *validator) required(field string, s *string, most int) {
	if *s == "" {
		v.add(field, RuleRequired, 0, 0, "is required")
		return
	}
	v.optional(field, s, most)
}

// optional strips a string and checks it unless it is absent.
func (v *validator) optional(field string, s *string, most int) {
	if *s == "" {
		return
	}
	*s = strip(*s)
	n := utf8.RuneCountInString(*s)
	switch {
	case n == 0:
		v.add(field, RuleRequired, 0, 0, "must not be blank")
	case n > most:
		v.add(field, RuleLength, most, n, "has %d characters, at most %d are allowed", n, most)
	}
	v.text(field, *s)
}

// text refuses what no text column takes.
func (v *validator) text(field, s string) {
	if !utf8.ValidString(s) {
		v.add(field, RuleFormat, 0, 0, "is not valid UTF-8")
	}
	if strings.ContainsRune(s, 0) {
		v.add(field, RuleFormat, 0, 0, "has a NUL character")
	}
}

// headers returns them stripped, nil if there are none.
func (v *validator) headers(headers map[string]string) map[string]string {
	if len(headers) == 0 {
		return nil
	}
	if n := len(headers); n > MaxHeaders {
		v.add("Headers", RuleCount, MaxHeaders, n, "has %d entries, at most %d are allowed", n, MaxHeaders)
	}
	stripped := make(map[string]string, len(headers))
	folded := make(map[string]bool, len(headers))
	for _, key := range slices.Sorted(maps.Keys(headers)) {
		k, value := strip(key), strip(headers[key])
		v.header(k, value)
		if lower := strings.ToLower(k); k != "" && folded[lower] {
			v.add(headerField(k), RuleConflict, 0, 0, "repeats another key, apart from case and blanks")
		} else {
			folded[lower] = true
		}
		stripped[k] = value
	}
	return stripped
}

func (v *validator) header(key, value string) {
	field := headerField(key)
	if n := utf8.RuneCountInString(key); n == 0 {
		v.add(field, RuleRequired, 0, 0, "has a blank key")
	} else if n > MaxHeaderKey {
		v.add(field, RuleLength, MaxHeaderKey, n, "has a key of %d characters, at most %d are allowed", n, MaxHeaderKey)
	}
	if n := utf8.RuneCountInString(value); n == 0 {
		v.add(field, RuleRequired, 0, 0, "must not be blank")
	} else if n > MaxHeaderValue {
		v.add(field, RuleLength, MaxHeaderValue, n, "has %d characters, at most %d are allowed", n, MaxHeaderValue)
	}
	if strings.ContainsFunc(key, isControl) {
		v.add(field, RuleFormat, 0, 0, "has control characters in its key")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r != '\t' && isControl(r) }) {
		v.add(field, RuleFormat, 0, 0, "has control characters")
	}
	if !utf8.ValidString(key) || !utf8.ValidString(value) {
		v.add(field, RuleFormat, 0, 0, "is not valid UTF-8")
	}
}

// headerField names a header in an error, no longer than a valid key.
func headerField(key string) string {
	if r := []rune(key); len(r) > MaxHeaderKey {
		key = string(r[:MaxHeaderKey]) + "…"
	}
	return fmt.Sprintf("Headers[%q]", key)
}

// isControl is omni-box's idea of a control character.
func isControl(r rune) bool { return r < 32 || r == 127 }

// strip is Python's: it also takes the separators U+001C to U+001F for blanks.
func strip(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
}
