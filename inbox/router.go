package inbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// Router gathers handlers and upcasters at the start of a program, by one
// goroutine. Mistakes, such as two handlers for the same, are reported by Build,
// all at once. To register after Build panics, since nobody would look there.
type Router struct {
	handlers  map[Route]handler
	upcasters map[string]map[string]upcaster // by type, then by the version they take
	fallback  *handler
	mistakes  []error
	built     atomic.Bool
}

// Route is what a handler is chosen by.
type Route struct {
	Source, Type string
	// Version of the schema; empty for any.
	Version string
}

func (r Route) compare(other Route) int {
	return cmp.Or(cmp.Compare(r.Source, other.Source), cmp.Compare(r.Type, other.Type), cmp.Compare(r.Version, other.Version))
}

func (r Route) String() string {
	if r.Version == "" {
		return fmt.Sprintf("source %q, type %q, any version", r.Source, r.Type)
	}
	return fmt.Sprintf("source %q, type %q, version %q", r.Source, r.Type, r.Version)
}

// NewRouter gives an empty router.
func NewRouter() *Router {
	return &Router{handlers: map[Route]handler{}, upcasters: map[string]map[string]upcaster{}}
}

// Handle registers a handler for messages of a source, type and schema version;
// an empty version stands for those that no other handler takes, with whatever
// version or none. The handler runs at least once for each message: it runs
// again if it fails, and if its worker dies before the message is completed.
//
// Handlers run concurrently, those of messages with the same key one after the
// other. The text of an error is shown to people: do not quote the payload in it.
func Handle[T any](r *Router, source, eventType, version string, handle func(context.Context, Message[T]) error) {
	r.handle(Route{source, eventType, version}, newHandler(handle))
}

// HandleTx is Handle for a handler that gets the transaction in which the
// message is completed: what it writes there takes effect exactly once. If it
// returns an error, those of Skip and Stale included, nothing that it wrote
// remains. It must not end the transaction.
func HandleTx[T any](r *Router, source, eventType, version string, handle func(context.Context, pgx.Tx, Message[T]) error) {
	r.handle(Route{source, eventType, version}, newTxHandler(handle))
}

// HandleBatch is HandleTx for a handler that takes many messages in one
// transaction, in their order, those of a key in the order of the key. They are
// as many as are at hand, at most Config.Batch; often it is one. If it returns an
// error, those of Skip and Stale included, nothing that it wrote remains, and the
// messages are given to it again one by one, so that a bad one fails alone.
//
// The context names no cause, since there are many: use Meta.Caused.
func HandleBatch[T any](r *Router, source, eventType, version string, handle func(context.Context, pgx.Tx, []Message[T]) error) {
	r.handle(Route{source, eventType, version}, newBatchHandler(handle))
}

// Upcast registers how a payload of one schema version of a type, whatever its
// source, becomes one of a later version. Upcasters form chains, one link from
// each version. An empty from stands for messages that name no version.
//
// What an upcaster gives must be what the next one, or the handler, takes: the
// same Go type or, if it gives json.RawMessage, any. Upcasters depend on nothing
// but the payload, so an error is permanent unless it has another class or is a
// Skip.
func Upcast[V1, V2 any](r *Router, eventType, from, to string, upcast func(V1) (V2, error)) {
	r.open()
	u := newUpcaster(from, to, upcast)
	what := u.what(eventType)
	r.check(what, upcast == nil, []string{eventType, to}, from)
	links := r.upcasters[eventType]
	if links == nil {
		links = map[string]upcaster{}
		r.upcasters[eventType] = links
	}
	if other, taken := links[from]; taken {
		r.mistake("%s: there is one to %q already, and a version can have only one", what, other.to)
		return
	}
	links[from] = u
}

// Fallback registers the handler of messages that no other one takes. Their
// payload comes as it is, and is not upcast. So does the value of a message that
// could not be read as an event, once a person replays it.
func (r *Router) Fallback(handle func(context.Context, Message[[]byte]) error) {
	r.setFallback(newHandler(handle))
}

// FallbackTx is Fallback with the promises of HandleTx.
func (r *Router) FallbackTx(handle func(context.Context, pgx.Tx, Message[[]byte]) error) {
	r.setFallback(newTxHandler(handle))
}

func (r *Router) handle(way Route, h handler) {
	r.open()
	r.check("handler for "+way.String(), h.bind == nil, []string{way.Source, way.Type}, way.Version)
	if _, taken := r.handlers[way]; taken {
		r.mistake("two handlers for %s", way)
	}
	r.handlers[way] = h
}

func (r *Router) setFallback(h handler) {
	r.open()
	r.check("fallback", h.bind == nil, nil)
	if r.fallback != nil {
		r.mistake("two fallbacks")
	}
	r.fallback = &h
}

func (r *Router) open() {
	if r.built.Load() {
		panic("inbox: the router has been built; register everything before that")
	}
}

// check notes what can be wrong with any registration: needed names must be
// there, and no name can have blanks around it, since those of messages have none.
func (r *Router) check(what string, isNil bool, needed []string, optional ...string) {
	if isNil {
		r.mistake("%s: the function is nil", what)
	}
	if slices.Contains(needed, "") {
		r.mistake("%s: a name is missing", what)
	}
	if slices.ContainsFunc(append(needed, optional...), func(name string) bool { return strings.TrimSpace(name) != name }) {
		r.mistake("%s: a name has blanks around it", what)
	}
}

func (r *Router) mistake(format string, args ...any) {
	r.mistakes = append(r.mistakes, fmt.Errorf(format, args...))
}
