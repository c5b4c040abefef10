package inbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/omnibox-go/omnibox"
)

// classes are classes of errors by SQLSTATE, or by its first two characters.
type classes map[string]omnibox.Class

// codeClasses are those for every handler: code can tell better than a table what
// an error means, but for what is no message's fault.
var codeClasses = classes{
	"08":    omnibox.ClassUnreachable, // connection
	"53":    omnibox.ClassUnreachable, // out of connections, memory or disk
	"25006": omnibox.ClassUnreachable, // read-only: the primary has become a standby
	"57P01": omnibox.ClassUnreachable, // shutting down
	"57P02": omnibox.ClassUnreachable, // crashed
	"57P03": omnibox.ClassUnreachable, // starting up
	"40001": omnibox.ClassTransient,   // cannot be serialized
	"40P01": omnibox.ClassTransient,   // deadlock
	"55P03": omnibox.ClassTransient,   // waited too long for a lock
	"25P03": omnibox.ClassTransient,   // idle for too long, so the handler was slow
	"25P04": omnibox.ClassTransient,   // in the transaction for too long
}

// sqlClasses are those that a handler of SQL has besides.
var sqlClasses = classes{
	"22": omnibox.ClassPermanent, // bad data
	"23": omnibox.ClassPermanent, // a constraint
	"42": omnibox.ClassPermanent, // what does not exist, or is not allowed
	"44": omnibox.ClassPermanent, // the check of a view
}

func (c classes) with(more map[string]omnibox.Class) classes {
	all := maps.Clone(c)
	maps.Copy(all, more)
	return all
}

// of gives the class of a code, if one is known.
func (c classes) of(code string) (omnibox.Class, bool) {
	if class, ok := c[code]; ok {
		return class, true
	}
	class, ok := c[code[:min(2, len(code))]]
	return class, ok
}

var sqlstate = regexp.MustCompile(`^[0-9A-Z]{2}([0-9A-Z]{3})?$`)

// CheckSQLState refuses what is neither a SQLSTATE nor the two characters that begin
// many.
func CheckSQLState(code string) error {
	if !sqlstate.MatchString(code) {
		return fmt.Errorf("%q is no SQLSTATE: write a code such as \"23505\", or the two characters that begin many, such as \"23\"", code)
	}
	return nil
}

// checkClasses finds what is wrong with a user's classes.
func checkClasses(c map[string]omnibox.Class) (mistakes []error) {
	for _, code := range slices.Sorted(maps.Keys(c)) {
		if err := CheckSQLState(code); err != nil {
			mistakes = append(mistakes, fmt.Errorf("classes: %w", err))
		}
		if !slices.Contains([]omnibox.Class{omnibox.ClassUnreachable, omnibox.ClassTransient, omnibox.ClassPermanent}, c[code]) {
			mistakes = append(mistakes, fmt.Errorf("classes: SQLSTATE %s cannot be %q: write %s, %s or %s", code, c[code],
				omnibox.ClassUnreachable, omnibox.ClassTransient, omnibox.ClassPermanent))
		}
	}
	return mistakes
}

// classify gives an error of a handler its class, unless it has one, and a text
// that quotes no row.
func (c classes) classify(err error) error {
	if err == nil || marked(err) {
		return tell(err)
	}
	if _, refused := errors.AsType[*pgconn.ConnectError](err); refused {
		return omnibox.Unreachable(tell(err))
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		if class, known := c.of(e.Code); known {
			return &omnibox.Error{Class: class, Err: tell(err)}
		}
	}
	return tell(err)
}

// classifyIn is classify for a handler in a transaction. When the connection is gone
// under it, that is not the handler's failure, unless the server says that it is, or
// it has ended a call to the database itself.
func (c classes) classifyIn(tx pgx.Tx, err error) error {
	classed := c.classify(err)
	if err == nil || tx == nil || marked(classed) || isTimeout(err) || !tx.Conn().IsClosed() {
		return classed
	}
	return omnibox.Unreachable(classed)
}

// classifyOwn is classify for an error of the transaction rather than the handler:
// of its commit, if the handler has run, else of what comes before. That says nothing
// of the message, unless its row is refused: with a right that is missing, or a lock
// that another holds, no message would get on.
func (c classes) classifyOwn(err error, ran bool) error {
	e, refused := errors.AsType[*pgconn.PgError](err)
	switch {
	case refused && conflicts(e):
		return omnibox.Transient(tell(err)) // whatever the store makes of it
	case marked(err):
		return tell(err)
	case isLost(err):
		return omnibox.Unreachable(tell(err))
	}
	classed := c.classify(err)
	switch {
	case ran, omnibox.ClassOf(classed) == omnibox.ClassUnreachable:
		return classed
	case refused && !refusesRow(e):
		return omnibox.Unreachable(tell(err))
	}
	return omnibox.Transient(tell(err))
}

// refusesRow tells whether an error may be of what is in a row: bad data, a constraint,
// a limit, the check of a view, or a trigger that raises.
func refusesRow(e *pgconn.PgError) bool {
	return e.Routine == raised || slices.Contains([]string{"22", "23", "44", "54", "P0"}, e.Code[:min(2, len(e.Code))])
}

// isConflict tells whether a transaction was rolled back because of another one,
// so that it is worth trying again at once.
func isConflict(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && conflicts(e) && omnibox.ClassOf(err) == omnibox.ClassTransient
}

func conflicts(e *pgconn.PgError) bool { return e.Code == "40001" || e.Code == "40P01" }

// isTimeout tells whether a call to the database was ended by its context.
func isTimeout(err error) bool {
	return pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// isLost tells whether a connection to the database is gone.
func isLost(err error) bool {
	if isTimeout(err) {
		return false
	}
	_, network := errors.AsType[net.Error](err)
	return network || pgconn.SafeToRetry(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// toldError says less than the error that it is.
type toldError struct {
	text string
	err  error
}

func (e *toldError) Error() string { return e.text }
func (e *toldError) Unwrap() error { return e.err }

// tell gives err with a text in which what the database says is cut down to what
// quotes no row. Nil stays nil.
func tell(err error) error {
	refusals := refusalsIn(err, nil)
	if len(refusals) == 0 {
		return err
	}
	text := err.Error()
	for _, e := range refusals {
		said := sayRefusal(e)
		text = strings.ReplaceAll(text, e.Error(), said)
		for _, quotes := range []string{e.Detail, e.Hint, e.Where, e.InternalQuery} {
			if quotes != "" {
				text = strings.ReplaceAll(text, quotes, "[row]")
			}
		}
		if e.Message != "" && !strings.Contains(said, e.Message) {
			text = strings.ReplaceAll(text, e.Message, said)
		}
	}
	return &toldError{text, err}
}

// refusalsIn are all errors of the database in the tree of err.
func refusalsIn(err error, found []*pgconn.PgError) []*pgconn.PgError {
	switch e := err.(type) { //nolint:errorlint // it is what looks into the tree
	case nil, *toldError: // told already
	case *pgconn.PgError:
		if e != nil {
			found = append(found, e)
		}
	case interface{ Unwrap() error }:
		return refusalsIn(e.Unwrap(), found)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			found = refusalsIn(err, found)
		}
	}
	return found
}

// speaking are the classes of SQLSTATE whose messages quote names, never values.
var speaking = []string{"08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"}

// raised is the routine of errors that PL/pgSQL raises, under any code.
const raised = "exec_stmt_raise"

// sayRefusal tells what the database refused, without what may quote a row: its
// message only if that cannot, and never one that a function made up.
func sayRefusal(e *pgconn.PgError) string {
	const syntaxError = "42601" // of SQL made of values
	if slices.Contains(speaking, e.Code[:min(2, len(e.Code))]) && e.Code != syntaxError && e.Routine != raised {
		return fmt.Sprintf("SQLSTATE %s: %s", e.Code, e.Message)
	}
	var said strings.Builder
	said.WriteString("SQLSTATE " + e.Code)
	switch {
	case e.Routine == raised:
		said.WriteString(": raised by a function")
	case strings.HasPrefix(e.Code, "22"):
		said.WriteString(": bad data")
	case strings.HasPrefix(e.Code, "23"), strings.HasPrefix(e.Code, "44"):
		said.WriteString(": a constraint is violated")
	case e.Code == syntaxError:
		said.WriteString(": a syntax error")
	}
	for _, at := range []struct{ what, name string }{
		{"constraint", e.ConstraintName}, {"column", e.ColumnName}, {"type", e.DataTypeName}, {"table", e.TableName},
	} {
		if at.name != "" {
			said.WriteString(", " + at.what + " " + at.name)
		}
	}
	return said.String()
}
