package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes; docs/cli.md and the help of the root command list them.
const (
	exitOK      = 0
	exitError   = 1 // it did not work: a server is down, a right is missing
	exitUsage   = 2 // a wrong command, flag, argument or configuration
	exitNothing = 3 // nothing was found, or there was nothing to do
	exitProblem = 4 // a check found something wrong
)

// codeError ends the program with a code. Without a cause it says nothing: the
// output has said it.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &codeError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// app is what commands share.
type app struct {
	in          io.Reader
	out, err    io.Writer
	interactive bool // a person can answer questions

	configPath string
	output     string
	started    bool // a command runs: its errors are not of usage
}

const rootHelp = `omnibox brings the events of an outbox table in Postgres to Kafka, at least once
and in order per key, and messages from Kafka to an inbox table, where each is
applied once, in the transaction of its handler. What cannot be delivered or
applied becomes a dead letter, to be looked at, replayed or discarded.

Without a file OMNIBOX_DATABASE_URL and OMNIBOX_KAFKA_BROKERS are enough; see
docs/configuration.md. Every listing can also be had as JSON.

Exit codes:
  0  it worked
  1  it did not: a server is down, a right is missing
  2  a wrong command, flag, argument or configuration
  3  nothing was found, or there was nothing to do
  4  a check found something wrong (doctor, health, migrate status)`

const rootExamples = `  omnibox migrate up            # make the tables
  omnibox doctor                # is everything there that a worker needs?
  omnibox worker                # relay, receive
  omnibox status                # backlog, lag, held keys, dead letters
  omnibox events list orders    # what waits, and for what
  omnibox dead list             # what could not be delivered, and why
  omnibox -c omnibox.yaml config check`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use: "omnibox", Short: "A transactional outbox and inbox for Postgres and Kafka",
		Long: rootHelp, Example: rootExamples,
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if !slices.Contains([]string{"table", "json"}, a.output) {
				return usagef("--output %s: it is table or json", a.output)
			}
			a.started = true
			return nil
		},
		RunE: group,
	}
	root.PersistentFlags().StringVarP(&a.configPath, "config", "c", os.Getenv("OMNIBOX_CONFIG"),
		"configuration `file`; OMNIBOX_CONFIG names it too")
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "table", "`format` of listings: table or json")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newMigrate(a), newConfig(a), newStatus(a), newEvents(a), newDead(a), newPause(a), newResume(a), newDoctor(a), newWorker(a), newHealth(a), newVersion(a),
	)
	return root
}

// group is a command that only has others below it.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	cmd.SuggestionsMinimumDistance = 2
	names := cmd.SuggestionsFor(args[0])
	if len(names) > 0 {
		return usagef("there is no %s %s; did you mean %s?", cmd.CommandPath(), args[0], list(names))
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return usagef("there is no %s %s; there are: %s", cmd.CommandPath(), args[0], list(names))
}

// run executes a command line and returns the exit code.
func run(ctx context.Context, a *app, args []string) int {
	root := newRoot(a) //nolint:contextcheck // commands take it from cmd.Context
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	coded, ok := errors.AsType[*codeError](err)
	switch {
	case ok && coded.err == nil:
		return coded.code
	case ok:
	case a.started:
		coded = &codeError{code: exitError}
	default:
		coded = &codeError{code: exitUsage}
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	a.say("omnibox: %s\n", strings.TrimSpace(err.Error()))
	if coded.code == exitUsage && !a.started {
		a.say("Run %q for help.\n", cmd.CommandPath()+" --help")
	}
	return coded.code
}
