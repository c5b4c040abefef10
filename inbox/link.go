package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// handler is a typed handler whose type is known to reflection alone.
type handler struct {
	takes reflect.Type
	inTx  bool
	// batch takes many messages at once; nil of a handler that does not.
	batch *batch
	// bind reads v, which is content or a value of the type that is taken, and
	// makes the call. It is nil of a handler that is nil.
	bind func(m Meta, v any) (bound, error)
}

// bound is a handler with the message that it is to handle.
type bound struct {
	run func(context.Context, pgx.Tx) error
	// message is a Message of the type that the handler takes, of a batch handler.
	message any
}

// batch is a handler of many messages at once.
type batch struct {
	// run handles what bind has made of each message.
	run func(ctx context.Context, tx pgx.Tx, messages []any) error
}

func newHandler[T any](handle func(context.Context, Message[T]) error) handler {
	if handle == nil {
		return handler{}
	}
	h := newTxHandler(func(ctx context.Context, _ pgx.Tx, m Message[T]) error { return handle(ctx, m) })
	h.inTx = false
	return h
}

func newTxHandler[T any](handle func(context.Context, pgx.Tx, Message[T]) error) handler {
	if handle == nil {
		return handler{}
	}
	return handler{
		takes: reflect.TypeFor[T](),
		inTx:  true,
		bind: func(m Meta, v any) (bound, error) {
			payload, err := read[T](v)
			if err != nil {
				return bound{}, unreadable[T](&m, err)
			}
			return bound{run: func(ctx context.Context, tx pgx.Tx) error {
				return handle(withCause(ctx, &m), tx, Message[T]{Meta: m, Payload: payload})
			}}, nil
		},
	}
}

func newBatchHandler[T any](handle func(context.Context, pgx.Tx, []Message[T]) error) handler {
	if handle == nil {
		return handler{}
	}
	all := &batch{run: func(ctx context.Context, tx pgx.Tx, messages []any) error {
		typed := make([]Message[T], 0, len(messages))
		for _, m := range messages {
			typed = append(typed, m.(Message[T]))
		}
		return handle(ctx, tx, typed)
	}}
	return handler{
		takes: reflect.TypeFor[T](),
		inTx:  true,
		batch: all,
		bind: func(m Meta, v any) (bound, error) {
			payload, err := read[T](v)
			if err != nil {
				return bound{}, unreadable[T](&m, err)
			}
			message := Message[T]{Meta: m, Payload: payload}
			alone := func(ctx context.Context, tx pgx.Tx) error { return handle(ctx, tx, []Message[T]{message}) }
			return bound{run: alone, message: message}, nil
		},
	}
}

// upcaster is a link of a chain.
type upcaster struct {
	from, to     string
	takes, gives reflect.Type
	// apply reads v as a handler's bind does, and gives the same for the next.
	apply func(m *Meta, v any) (any, error)
}

func newUpcaster[V1, V2 any](from, to string, upcast func(V1) (V2, error)) upcaster {
	return upcaster{
		from: from, to: to, takes: reflect.TypeFor[V1](), gives: reflect.TypeFor[V2](),
		apply: func(m *Meta, v any) (any, error) {
			v1, err := read[V1](v)
			if err != nil {
				return nil, unreadable[V1](m, err)
			}
			v2, err := upcast(v1)
			if err != nil {
				return nil, fmt.Errorf("upcast %q from version %q to %q: %w", m.Type, from, to, hopeless(err))
			}
			if raw, ok := any(v2).(json.RawMessage); ok {
				return content{json: raw}, nil
			}
			return v2, nil
		},
	}
}

// fits tells whether what it gives can be read as t.
func (u upcaster) fits(t reflect.Type) bool {
	return u.gives == t || u.gives == reflect.TypeFor[json.RawMessage]()
}

func (u upcaster) what(eventType string) string {
	return fmt.Sprintf("upcaster of type %q from version %q to %q", eventType, u.from, u.to)
}

// unreadable is the permanent error of a payload that is no T.
func unreadable[T any](m *Meta, err error) error {
	return omnibox.Permanent(fmt.Errorf("payload of type %q, version %q, as %s: %w", m.Type, m.SchemaVersion, reflect.TypeFor[T](), err))
}

// hopeless makes an error permanent that does not say what it is.
func hopeless(err error) error {
	_, classed := errors.AsType[*omnibox.Error](err)
	_, skip := errors.AsType[*omnibox.SkipError](err)
	if classed || skip {
		return err
	}
	return omnibox.Permanent(err)
}
