package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/omnibox-go/omnibox"
)

// content is what an event says, which no error may quote. Whoever decides about
// a failure hides what the event says then; but steps change it, and an error may
// quote what it was before, or what it did not become.
type content struct {
	payload any
	body    []byte
}

func contentOf(e *omnibox.Event) content { return content{e.Payload, e.Body} }

// hide gives err with a text that quotes nothing of the content, if that is not
// what the event says. Nil stays nil.
func (c content) hide(err error, e *omnibox.Event) error {
	if err == nil || c.is(e) {
		return err
	}
	return &hiddenError{err, c}
}

func (c content) is(e *omnibox.Event) bool {
	was, err1 := encode(c.payload)
	now, err2 := encode(e.Payload)
	return err1 == nil && err2 == nil && bytes.Equal(was, now) && bytes.Equal(c.body, e.Body)
}

// hiddenError says less than the error that it is. It looks for what to hide
// only when it is asked: most errors of a batch are never read.
type hiddenError struct {
	err     error
	content content
}

func (e *hiddenError) Error() string {
	return Redact(e.err.Error(), &omnibox.Event{Payload: e.content.payload, Body: e.content.body})
}

func (e *hiddenError) Unwrap() error { return e.err }

// encode gives a payload as JSON, which it mostly is: nil if there is none.
func encode(payload any) (json.RawMessage, error) {
	switch p := payload.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		return p, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(payload) != nil { // its error may quote the payload
		return nil, fmt.Errorf("a payload that cannot be JSON, a %T", payload)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// unencodable is the error of a step that left a payload which cannot be JSON,
// next to an error of its own or none. That may quote the payload, and nobody
// can tell where: its class is all that is kept of it.
func unencodable(own, err error) error {
	if own == nil {
		return omnibox.Permanent(fmt.Errorf("set %w", err))
	}
	told := &omnibox.Error{Class: omnibox.ClassOf(own), Err: fmt.Errorf("failed with a %T, and left %w", own, err)}
	if asked, ok := errors.AsType[*omnibox.Error](own); ok && asked != nil {
		told.RetryAt = asked.RetryAt
	}
	return told
}
