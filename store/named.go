package store

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
)

// named are the arguments of a statement by name. Unlike pgx's own it looks for
// the names in a statement only once: some are long, and run for single events.
type named map[string]any

// positional is a statement with numbered parameters, and their names.
type positional struct {
	sql   string
	names []string
}

var rewritten sync.Map // positional by statement

// RewriteQuery implements pgx.QueryRewriter.
func (n named) RewriteQuery(ctx context.Context, conn *pgx.Conn, sql string, _ []any) (string, []any, error) {
	known, ok := rewritten.Load(sql)
	if !ok {
		p, err := n.rewrite(ctx, conn, sql)
		if err != nil {
			return "", nil, err
		}
		known, _ = rewritten.LoadOrStore(sql, p)
	}
	p := known.(positional) //nolint:forcetypeassert // nothing else is stored
	args := make([]any, len(p.names))
	for i, name := range p.names {
		value, ok := n[name]
		if !ok {
			return "", nil, fmt.Errorf("argument @%s is missing", name)
		}
		args[i] = value
	}
	return p.sql, args, nil
}

// rewrite has pgx do it, with the names as values: they come back in order.
func (n named) rewrite(ctx context.Context, conn *pgx.Conn, sql string) (positional, error) {
	names := make(pgx.StrictNamedArgs, len(n))
	for name := range n {
		names[name] = name
	}
	text, order, err := names.RewriteQuery(ctx, conn, sql, nil)
	if err != nil {
		return positional{}, err
	}
	p := positional{sql: text}
	for _, name := range order {
		p.names = append(p.names, name.(string)) //nolint:forcetypeassert // as put in
	}
	return p, nil
}
