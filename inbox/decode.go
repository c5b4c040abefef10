package inbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// content is a payload that has not been read yet: JSON, or a body that is not.
type content struct {
	json json.RawMessage
	body []byte
}

// read gives v as a T. V is content, or already a T that an upcaster made: Build
// has compared the types.
func read[T any](v any) (T, error) {
	c, unread := v.(content)
	if !unread {
		t, _ := v.(T) // the only other thing is the nil of an interface, which is T's zero
		return t, nil
	}
	var t T
	return t, c.into(&t)
}

// into copies or decodes the content. Its errors never quote it.
func (c content) into(target any) error {
	if into, ok := target.(*[]byte); ok && c.body != nil {
		*into = bytes.Clone(c.body)
		return nil
	}
	switch {
	case c.body != nil:
		return errors.New("it is not JSON, and only a []byte takes that")
	case len(bytes.TrimSpace(c.json)) == 0:
		return errors.New("it is missing")
	}
	switch into := target.(type) {
	case *[]byte:
		*into = bytes.Clone(c.json)
	case *json.RawMessage:
		*into = bytes.Clone(c.json)
	default:
		return decode(c.json, target)
	}
	return nil
}

// decode is json.Unmarshal with numbers that keep their digits.
func decode(raw json.RawMessage, target any) error {
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return errors.New("it is missing") // package json would leave the target zero
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(target); err != nil {
		return quoteless(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind its end")
	}
	return nil
}

// quoteless tells what an error of decoding says, but for what it may quote. For
// that reason it does not wrap it.
func quoteless(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind, _, _ := strings.Cut(e.Value, " ") // behind "number" comes which
		place := "it"
		if e.Field != "" {
			place = fmt.Sprintf("field %q", e.Field)
		}
		return fmt.Errorf("%s holds a JSON %s, not a Go %s, at byte %d", place, kind, e.Type, e.Offset)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("it is not valid JSON, from byte %d on", e.Offset)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is not valid JSON, but cut off")
	}
	return fmt.Errorf("a value is refused with a %T", err)
}
