package store

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/omnibox-go/omnibox"
)

// unreadable is a message that was refused for what is in it, as it can be kept:
// its content as bytes, its headers aside, no time, and every other text such that
// no column refuses it.
func unreadable(e *omnibox.Event, reason string) *omnibox.Event {
	o := *e.Origin
	o.Unreadable, o.OccurredAt = reason, time.Time{}
	if o.RawHeaders == nil {
		o.RawHeaders = rawHeaders(e.Headers)
	}
	kept := omnibox.Event{
		ID: e.ID, MaxAttempts: e.MaxAttempts, Origin: &o, Body: e.Body, ContentType: clip(e.ContentType, omnibox.MaxContentType),
		Topic: clip(e.Topic, omnibox.MaxTopic), Key: clip(e.Key, omnibox.MaxKey), Type: clip(e.Type, omnibox.MaxType),
	}
	if raw, ok := e.Payload.(json.RawMessage); ok && kept.Body == nil {
		kept.Body, kept.ContentType = raw, "application/json"
	}
	if o.Key == nil && kept.Key != e.Key {
		o.Key = []byte(e.Key)
	}
	if id := clip(o.MessageID, omnibox.MaxMessageID); id != o.MessageID || id == "" {
		o.MessageID = standing(e)
	}
	o.Source = clip(o.Source, omnibox.MaxSource)
	o.RawHeaders = []byte(strings.ReplaceAll(string(o.RawHeaders), `\u0000`, `\ufffd`))
	if !json.Valid(o.RawHeaders) {
		o.RawHeaders = nil
	}
	return &kept
}

// clip makes a text fit for a column of so many characters.
func clip(text string, most int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most])
}

// rawHeaders are headers in the form of Origin.RawHeaders.
func rawHeaders(headers map[string]string) []byte {
	type header struct {
		Key   string `json:"key"`
		Value []byte `json:"value"`
	}
	all := make([]header, 0, len(headers))
	for _, k := range slices.Sorted(maps.Keys(headers)) {
		all = append(all, header{k, []byte(headers[k])})
	}
	raw, _ := json.Marshal(all) // cannot fail for strings and bytes
	return raw
}
