package inbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
)

func (b *bed) sql(t *testing.T, statements string) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), statements)
	require.NoError(t, err)
}

// A function in the database is the handler, in every way in which pgx sends
// statements. What it does and what it raises count as that of code.
func TestAStatementAsHandler(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.sql(t, `create function apply(event jsonb) returns void language plpgsql as $$ begin
				insert into effects (key, n) values (event->>'key', (event->'payload'->>'n')::int);
				if event->'payload'->>'n' = '2' then raise exception 'secret of %', event->>'key'; end if;
			end $$`)
			cfg := b.db.Config()
			cfg.ConnConfig.DefaultQueryExecMode = mode
			db, err := pgxpool.NewWithConfig(t.Context(), cfg)
			require.NoError(t, err)
			defer db.Close()
			b.db = db
			handler := inbox.SQL("select apply($1)")
			require.NoError(t, handler.Check(t.Context(), db))
			events := b.land(t, 3, "a", "b")
			errs := b.applying(t, handler).Handle(t.Context(), events)
			require.EqualError(t, errs[2], "SQLSTATE P0001: raised by a function")
			require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[2]))
			require.Equal(t, []error{nil, nil, errs[2], errs[3], omnibox.ErrNotSent, omnibox.ErrNotSent}, errs)
			require.Equal(t, upTo(1), b.effects(t, "a"))
			require.Equal(t, []bool{true, true, false, false, false, false}, b.done(t, events))
		})
	}
}

// Everything that is known of the message reaches the statement.
func TestWhatAStatementGets(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.sql(t, "create table seen (seq serial, event jsonb)")
	handler := inbox.SQL("insert into seen (event) values ($1)")
	require.NoError(t, handler.Check(t.Context(), b.db))
	events := b.land(t, 3, "a")
	e := events[0]
	e.Payload = json.RawMessage(`{"total": 1.50, "who": "<Ann & Bob>"}`)
	e.Headers = map[string]string{"tenant": "x"}
	e.TraceID, e.CorrelationID, e.CausationID, e.CreatedAt, e.Attempts = "t", "c", "b", time.Unix(2, 0).UTC(), 1
	e.Origin.Partition, e.Origin.Offset, e.Origin.OccurredAt = 3, 1<<53+1, time.Unix(1, 0).UTC()
	e = events[1]
	e.Payload, e.Body, e.ContentType, e.SchemaVersion = nil, []byte{0, 0xff}, "application/x-protobuf", ""
	e = events[2]
	e.Payload, e.Body, e.ContentType = nil, []byte(`[1, 2]`), "application/json"
	require.Equal(t, make([]error, 3), b.applying(t, handler).Handle(t.Context(), events))
	rows, err := b.db.Query(t.Context(), "select event::text from seen order by seq")
	require.NoError(t, err)
	seen, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.JSONEq(t, fmt.Sprintf(`{"id": %q, "message_id": "a-1", "source": "orders", "topic": "shop", "partition": 3, "offset": 9007199254740993,
		"key": "a", "type": "order.placed", "schema_version": "1", "content_type": null, "headers": {"tenant": "x"}, "trace_id": "t",
		"correlation_id": "c", "causation_id": "b", "occurred_at": "1970-01-01T00:00:01Z", "created_at": "1970-01-01T00:00:02Z", "attempt": 2,
		"payload": {"total": 1.50, "who": "<Ann & Bob>"}}`, events[0].ID), seen[0])
	require.Contains(t, seen[0], "9007199254740993")
	require.JSONEq(t, fmt.Sprintf(`{"id": %q, "message_id": "a-2", "source": "orders", "topic": "shop", "partition": 0, "offset": 0,
		"key": "a", "type": "order.placed", "schema_version": null, "content_type": "application/x-protobuf", "headers": {}, "trace_id": null,
		"correlation_id": null, "causation_id": null, "occurred_at": null, "created_at": "0001-01-01T00:00:00Z", "attempt": 1,
		"payload": null, "body": "AP8="}`, events[1].ID), seen[1])
	require.Contains(t, seen[2], `"payload": [1, 2]`)

	events[2].Body = []byte(`{"secret": `)
	err = b.applying(t, handler).Handle(t.Context(), events[2:])[0]
	require.EqualError(t, err, "the payload is not valid JSON")
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(err))
}

// What the database refuses is classed, for SQL and for code, and told without
// what is in a row.
func TestWhatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	const secret = "4711-secret"
	raise := func(code string) string {
		return fmt.Sprintf("do $$ begin raise exception '%s' using errcode = '%s', detail = '%s'; end $$", secret, code, secret)
	}
	for name, c := range map[string]struct {
		statement string
		sql, code omnibox.Class
		text      string
	}{
		"no integer":        {"select '4711-secret'::int", omnibox.ClassPermanent, omnibox.ClassTransient, "SQLSTATE 22P02: bad data"},
		"no date":           {"select '4711-secret'::date", omnibox.ClassPermanent, omnibox.ClassTransient, "SQLSTATE 22007: bad data"},
		"no json":           {`select '{"4711-secret'::jsonb`, omnibox.ClassPermanent, omnibox.ClassTransient, "SQLSTATE 22P02: bad data"},
		"not unique":        {"insert into effects (key, n) values ('4711-secret', 1), ('4711-secret', 1)", omnibox.ClassPermanent, omnibox.ClassTransient, "SQLSTATE 23505: a constraint is violated, constraint effects_key_n_key, table effects"},
		"check":             {"insert into effects (key, n) values ('4711-secret', 1000)", omnibox.ClassPermanent, omnibox.ClassTransient, "SQLSTATE 23514: a constraint is violated, constraint effects_n_check, table effects"},
		"null":              {"insert into effects (key) values ('4711-secret')", omnibox.ClassPermanent, omnibox.ClassTransient, "SQLSTATE 23502: a constraint is violated, column n, table effects"},
		"no function":       {"select nothing('4711-secret')", omnibox.ClassPermanent, omnibox.ClassTransient, "SQLSTATE 42883: function nothing(unknown) does not exist"},
		"no syntax":         {"do $$ begin execute 'select 4711-secret!'; end $$", omnibox.ClassPermanent, omnibox.ClassTransient, "SQLSTATE 42601: a syntax error"},
		"raised":            {raise("P0001"), omnibox.ClassTransient, omnibox.ClassTransient, "SQLSTATE P0001: raised by a function"},
		"raised by a name":  {raise("42501"), omnibox.ClassPermanent, omnibox.ClassTransient, "SQLSTATE 42501: raised by a function"},
		"lock timeout":      {raise("55P03"), omnibox.ClassTransient, omnibox.ClassTransient, "SQLSTATE 55P03: raised by a function"},
		"serialization":     {raise("40001"), omnibox.ClassTransient, omnibox.ClassTransient, "SQLSTATE 40001: raised by a function"},
		"deadlock":          {raise("40P01"), omnibox.ClassTransient, omnibox.ClassTransient, "SQLSTATE 40P01: raised by a function"},
		"connection":        {raise("08006"), omnibox.ClassUnreachable, omnibox.ClassUnreachable, "SQLSTATE 08006: raised by a function"},
		"full":              {raise("53100"), omnibox.ClassUnreachable, omnibox.ClassUnreachable, "SQLSTATE 53100: raised by a function"},
		"shutdown":          {raise("57P01"), omnibox.ClassUnreachable, omnibox.ClassUnreachable, "SQLSTATE 57P01: raised by a function"},
		"statement timeout": {"set local statement_timeout = 1; select pg_sleep(1000)", "", omnibox.ClassTransient, "SQLSTATE 57014: canceling statement due to statement timeout"},
		"read-only":         {"set transaction read only; insert into effects (key, n) values ('4711-secret', 1)", omnibox.ClassUnreachable, omnibox.ClassUnreachable, "SQLSTATE 25006: cannot execute INSERT in a read-only transaction"},
		"the connection is gone": {
			"select pg_terminate_backend(pg_backend_pid())", omnibox.ClassUnreachable, omnibox.ClassUnreachable,
			"SQLSTATE 57P01: terminating connection due to administrator command",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			refused := func(ctx context.Context, tx pgx.Tx, _ inbox.Message[placed]) error {
				_, err := tx.Exec(ctx, c.statement)
				if err != nil {
					err = fmt.Errorf("apply: %w", err)
				}
				return err
			}
			inbox.HandleTx(b.router, "orders", "order.placed", "1", refused)
			events := b.land(t, 1, "a")
			err := b.handle(t, events)[0]
			require.EqualError(t, err, "apply: "+c.text)
			require.Equal(t, c.code, omnibox.ClassOf(err), err)
			_, is := errors.AsType[*pgconn.PgError](err)
			require.True(t, is, "it can be looked at")
			b.free(t, events[0])
			if c.sql == "" {
				return
			}

			b.sql(t, "create function apply(jsonb) returns void language plpgsql as $f$ begin execute $q$"+c.statement+"$q$; end $f$")
			err = b.applying(t, inbox.SQL("select apply($1)")).Handle(t.Context(), events)[0]
			require.EqualError(t, err, c.text)
			require.Equal(t, c.sql, omnibox.ClassOf(err), err)
			b.free(t, events[0])
		})
	}
}

// A constraint may be looked at only when the transaction commits.
func TestWhatTheCommitRefuses(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.sql(t, `alter table effects add unique (n) deferrable initially deferred; insert into effects (key, n) values ('x', 1);
		create function apply(jsonb) returns void language sql as $$ insert into effects (key, n) values ('a', 1) $$`)
	b.on(succeed)
	events := b.land(t, 1, "a")
	const text = "SQLSTATE 23505: a constraint is violated, constraint effects_n_key, table effects"
	for class, a := range map[omnibox.Class]*inbox.Applier{
		omnibox.ClassTransient: b.applier(t), omnibox.ClassPermanent: b.applying(t, inbox.SQL("select apply($1)")),
	} {
		err := a.Handle(t.Context(), events)[0]
		require.EqualError(t, err, text)
		require.Equal(t, class, omnibox.ClassOf(err))
	}
}

// What is refused before the handler runs says nothing of the message, unless it is
// refused for what is in the row.
//
// trap: 13
func TestWhatIsRefusedBeforeTheHandler(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.on(succeed)
	events := b.land(t, 1, "a")
	for sql, want := range map[string]struct {
		class omnibox.Class
		text  string
	}{
		"select 1 from nothing":                                {omnibox.ClassUnreachable, `SQLSTATE 42P01: relation "nothing" does not exist`},
		"set local role pg_monitor; select 1 from box":         {omnibox.ClassUnreachable, "SQLSTATE 42501: permission denied for table box"},
		"set local statement_timeout = 1; select pg_sleep(10)": {omnibox.ClassUnreachable, "SQLSTATE 57014: canceling statement due to statement timeout"},
		"select 1/0": {omnibox.ClassTransient, "SQLSTATE 22012: bad data"},
		"do $$ begin raise 'no' using errcode = '42501'; end $$": {omnibox.ClassTransient, "SQLSTATE 42501: raised by a function"},
		"alter table box add constraint undone check (not done)": {omnibox.ClassTransient, "SQLSTATE 23514: a constraint is violated, constraint undone, table box"},
	} {
		b.before = func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, sql)
			return err
		}
		for _, a := range []*inbox.Applier{b.applier(t), b.applying(t, inbox.SQL("select apply($1)"))} {
			err := a.Handle(t.Context(), events)[0]
			require.EqualError(t, err, want.text)
			require.Equal(t, want.class, omnibox.ClassOf(err))
		}
	}
}

// The longer of two entries counts, and what a handler says itself counts most.
func TestClassesOfOnesOwn(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.cfg.Classes = map[string]omnibox.Class{"23": omnibox.ClassTransient, "23514": omnibox.ClassUnreachable, "P0": omnibox.ClassPermanent, "40": omnibox.ClassPermanent}
	b.sql(t, `create function apply(event jsonb) returns void language plpgsql as $$ begin
		raise exception 'x' using errcode = event->'payload'->>'code'; end $$`)
	b.on(func(context.Context, pgx.Tx, inbox.Message[placed]) error {
		return omnibox.Permanent(&pgconn.PgError{Code: "23514", Message: "m"})
	})
	events := b.land(t, 1, "a")
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(b.handle(t, events)[0]))
	for code, class := range map[string]omnibox.Class{
		"23505": omnibox.ClassTransient, "23514": omnibox.ClassUnreachable, "P0001": omnibox.ClassPermanent,
		"40001": omnibox.ClassTransient, "40002": omnibox.ClassPermanent, "22012": omnibox.ClassPermanent,
	} {
		events[0].Payload = json.RawMessage(fmt.Sprintf(`{"code": %q}`, code))
		err := b.applying(t, inbox.SQL("select apply($1)")).Handle(t.Context(), events)[0]
		require.Equal(t, class, omnibox.ClassOf(err), code)
	}
}

// The database that cannot be reached is no fault of a message.
//
// trap: 13
func TestADatabaseThatIsDown(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.on(succeed)
	events := b.land(t, 1, "a")
	down, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none")
	require.NoError(t, err)
	defer down.Close()
	b.db = down
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(b.handle(t, events)[0]))
	b.router = inbox.NewRouter()
	inbox.Handle(b.router, "orders", "order.placed", "1", func(ctx context.Context, _ inbox.Message[placed]) error { return down.Ping(ctx) })
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(b.handle(t, events)[0]))
}

// Nor is a connection that breaks under its handler, but one that the server ends
// because the handler is slow is the handler's.
//
// trap: 13
func TestAConnectionThatBreaks(t *testing.T) {
	t.Parallel()
	for class, end := range map[omnibox.Class]func(ctx context.Context, tx pgx.Tx) error{
		omnibox.ClassUnreachable: func(_ context.Context, tx pgx.Tx) error { return tx.Conn().PgConn().Conn().Close() },
		omnibox.ClassTransient: func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "set idle_in_transaction_session_timeout = 1")
			require.NoError(t, err)
			return tx.Conn().PgConn().WaitForNotification(ctx)
		},
	} {
		b := newBed(t)
		b.on(func(ctx context.Context, tx pgx.Tx, _ inbox.Message[placed]) error {
			if err := end(ctx, tx); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "select 1")
			return err
		})
		events := b.land(t, 1, "a")
		err := b.handle(t, events)[0]
		require.Equal(t, class, omnibox.ClassOf(err), err)
		b.free(t, events[0])
	}
}

// A handler that ends its own call to the database breaks its connection, and is
// to blame for it.
func TestAHandlerWithATimeoutOfItsOwn(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.on(func(ctx context.Context, tx pgx.Tx, _ inbox.Message[placed]) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		_, err := tx.Exec(ctx, "select pg_sleep(1000)")
		return err
	})
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(b.handle(t, b.land(t, 1, "a"))[0]))
}

// What is wrong with a statement is said at the start, in words that help.
func TestStatementsThatAreWrong(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	role := "handler_of_" + b.db.Config().ConnConfig.Database
	b.sql(t, fmt.Sprintf(`create schema billing; create schema hidden;
		create function billing.apply(jsonb) returns void language sql as '';
		create function billing.secret(jsonb) returns void language sql as '';
		create function hidden.apply(jsonb) returns void language sql as '';
		create procedure billing.run(jsonb) language sql as '';
		create table billing.raw (event jsonb);
		create role %[1]s; grant usage on schema billing to %[1]s;
		revoke execute on function billing.secret from public`, role))
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		_, err := b.db.Exec(ctx, fmt.Sprintf("drop owned by %[1]s; drop role %[1]s", role))
		require.NoError(t, err)
	})
	for statement, want := range map[string]string{
		"select billing.apply($1)":                           "",
		"select billing.apply($1::jsonb)":                    "",
		"call billing.run($1)":                               "",
		"select 1 where $1::text is null":                    "",
		"select billing.aply($1)":                            `SQLSTATE 42883: function billing.aply(unknown) does not exist`,
		"select bill.apply($1)":                              `SQLSTATE 3F000: schema "bill" does not exist`,
		"select billing.secret($1)":                          "SQLSTATE 42501: permission denied for function secret: grant it to the role of the worker",
		"select hidden.apply($1)":                            "SQLSTATE 42501: permission denied for schema hidden: grant it to the role of the worker",
		"insert into billing.raw values ($1)":                "SQLSTATE 42501: permission denied for table raw: grant it to the role of the worker",
		"select billing.apply('{}')":                         "it has no parameter: the message is $1",
		"select billing.apply($1), $2::int":                  "it has 2 parameters, but there is only $1, the message",
		"select $1::int":                                     "its parameter $1 is a int4, but the message is JSON: write $1::jsonb",
		"select billing.apply($1); select billing.apply($1)": "SQLSTATE 42601: a syntax error",
		"selct billing.apply($1)":                            "SQLSTATE 42601: a syntax error",
		"":                                                   "it has no parameter: the message is $1",
	} {
		err := pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "set local role "+role)
			require.NoError(t, err)
			return inbox.SQL(statement).Check(t.Context(), tx)
		})
		if want == "" {
			require.NoError(t, err, statement)
			continue
		}
		require.ErrorContains(t, err, fmt.Sprintf("the SQL of a handler, %q: %s", statement, want))
	}
}
