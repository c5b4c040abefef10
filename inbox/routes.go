package inbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// ErrNoHandler means that no handler takes the message, and there is no fallback.
var ErrNoHandler = errors.New("no handler")

// Routes are a Router that was found right. They never change, so they are safe
// for concurrent use.
type Routes struct {
	table    map[Route]route
	fallback *handler
}

// route is the way of a message: through upcasters, if any, to a handler.
type route struct {
	upcasters []upcaster
	handler   handler
}

// Call is one message on its way to its handler.
type Call struct {
	// InTx says that the handler writes in the transaction that completes the
	// message.
	InTx bool
	bound
	// statement says that the handler is one of SQL alone: what the database
	// refuses is the message's fault, not that of code which could do better.
	statement bool
}

// Find gives the call that handles the message, which it leaves as it is. It
// reads the payload and runs upcasters, so it may panic where the user's code
// does; the handler does not run yet.
//
// The error is permanent if no handler takes the message, which also is
// ErrNoHandler, or if the payload does not fit; then it does not quote the
// payload. An upcaster's error has that one's class and words. An unreadable
// message is for the fallback; without one, the error says why it is unreadable.
func (r *Routes) Find(stored *Stored) (Call, error) {
	found, err := r.route(stored)
	if err != nil {
		return Call{}, err
	}
	m := stored.Meta
	m.Headers = maps.Clone(m.Headers)
	v := any(content{stored.Payload, stored.Body})
	for _, u := range found.upcasters {
		if v, err = u.apply(&m, v); err != nil {
			return Call{}, err
		}
		m.SchemaVersion = u.to
	}
	it, err := found.handler.bind(m, v)
	if err != nil {
		return Call{}, err
	}
	return Call{InTx: found.handler.inTx, bound: it}, nil
}

// batchOf is the batch handler that takes the message, if that is what does.
func (r *Routes) batchOf(stored *Stored) *batch {
	found, err := r.route(stored)
	if err != nil {
		return nil
	}
	return found.handler.batch
}

// Run calls the handler, under a context by which Caused knows the message. Tx
// is for a handler InTx, and for the caller to commit only if the error is nil;
// for another handler it may be nil. Run it once: each attempt has its own Find.
func (c Call) Run(ctx context.Context, tx pgx.Tx) error {
	return c.run(ctx, tx)
}

func (r *Routes) route(m *Stored) (route, error) {
	if m.Unreadable != "" {
		if r.fallback == nil {
			return route{}, omnibox.Permanent(fmt.Errorf("unreadable, and there is no fallback: %s", m.Unreadable))
		}
		return route{handler: *r.fallback}, nil
	}
	way := Route{m.Source, m.Type, m.SchemaVersion}
	if found, ok := r.table[way]; ok {
		return found, nil
	}
	// what takes any version; not a chain from no version, which takes only that
	if found, ok := r.table[Route{Source: m.Source, Type: m.Type}]; ok && len(found.upcasters) == 0 {
		return found, nil
	}
	if r.fallback != nil {
		return route{handler: *r.fallback}, nil
	}
	return route{}, omnibox.Permanent(r.unknown(way))
}

// unknown names what is missing, and what of the type there is: mostly it is the
// version, or the source, that is not the expected one.
func (r *Routes) unknown(way Route) error {
	var known []string
	for other, to := range r.table {
		if other.Type == way.Type && len(to.upcasters) == 0 {
			known = append(known, other.String())
		}
	}
	slices.Sort(known)
	there := "the type has none at all"
	if len(known) > 0 {
		there = "there is for " + strings.Join(known, "; ")
	}
	return fmt.Errorf("%w for source %q, type %q, version %q: %s", ErrNoHandler, way.Source, way.Type, way.Version, there)
}

// OutsideTx names the handlers that do not write in the transaction that completes
// their message.
func (r *Routes) OutsideTx() []string {
	var names []string
	for way, to := range r.table {
		if !to.handler.inTx && len(to.upcasters) == 0 {
			names = append(names, way.String())
		}
	}
	slices.Sort(names)
	if r.fallback != nil && !r.fallback.inTx {
		names = append(names, "the fallback")
	}
	return names
}
