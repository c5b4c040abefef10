package main

import (
	"bufio"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker/config"
)

// resolving is a replay or discard that was asked for.
type resolving struct {
	verb, past  string // replay, replayed
	filter      filterFlags
	all, dry    bool
	yes         bool
	limit       int
	by, note    string
	ids         []store.DeadID
	storeFilter store.DeadFilter
	// until is, by box, up to when a person was told what is there.
	until   map[string]time.Time
	refused []store.Refusal
	done    int
}

func (r *resolving) add(cmd *cobra.Command) {
	r.filter.add(cmd)
	cmd.Flags().BoolVar(&r.all, "all", false, "all that the filters find, instead of ids")
	cmd.Flags().BoolVar(&r.dry, "dry-run", false, "change nothing and say what would be done")
	cmd.Flags().BoolVar(&r.yes, "yes", false, "do not ask before --all")
	cmd.Flags().IntVar(&r.limit, "limit", 0, "with --all: the most of a table, the oldest first; 0 for no limit")
	cmd.Flags().StringVar(&r.by, "by", whoami(), "`who` asks, for those who look later")
}

func newDeadReplay(a *app) *cobra.Command {
	r := &resolving{verb: "replay", past: "replayed"}
	cmd := &cobra.Command{
		Use: "replay ID... | --all", Short: "Put dead events back to be delivered",
		Long: `Puts dead events back: pending and due now, with no attempts made. Name them by
the event's id or the number of the dead letter, or take all that the filters
find with --all. What cannot be replayed is named with the reason.

--all asks first, in a terminal, and takes what was dead then; elsewhere it needs
--yes. The oldest go first, in transactions of at most 500; an interrupted replay
can be run again.

The exit code is 3 if nothing was replayed, 1 if some were and others not.`,
		Example: `  omnibox dead replay 42 43
  omnibox dead replay --all --class transient --dry-run
  omnibox dead replay --all --topic orders --since 2h --yes`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.resolve(cmd, r, args) },
	}
	r.add(cmd)
	return cmd
}

func newDeadDiscard(a *app) *cobra.Command {
	r := &resolving{verb: "discard", past: "discarded"}
	cmd := &cobra.Command{
		Use: "discard ID... | --all", Short: "Give dead events up on purpose",
		Long: `Closes dead letters without delivering the events; their rows stay failed. A
discarded event can still be replayed by its id.

--all asks first, in a terminal, and takes what was dead then; elsewhere it needs
--yes.

The exit code is 3 if nothing was discarded, 1 if some were and others not.`,
		Example: `  omnibox dead discard 42 --note "test data"
  omnibox dead discard --all --fingerprint 9f0e2a4a --note "bug 17" --yes`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.resolve(cmd, r, args) },
	}
	r.add(cmd)
	cmd.Flags().StringVar(&r.note, "note", "", "`why`, for those who look later")
	return cmd
}

func (a *app) resolve(cmd *cobra.Command, r *resolving, args []string) error {
	if err := r.read(cmd, args); err != nil {
		return err
	}
	return a.withBoxes(cmd.Context(), r.filter.names(), func(_ *config.Config, boxes []box) error {
		if err := oneDatabase(r.ids, boxes); err != nil {
			return err
		}
		boxes = tables(boxes)
		if r.all {
			if ok, err := a.confirm(cmd.Context(), r, boxes); err != nil || !ok {
				return err
			}
		}
		err := r.run(cmd.Context(), a, boxes)
		if printed := a.printResolved(r); printed != nil {
			return printed
		}
		if err != nil {
			return err
		}
		switch {
		case r.done == 0:
			return &codeError{code: exitNothing}
		case len(r.refused) > 0:
			return &codeError{code: exitError}
		}
		return nil
	})
}

// read makes sense of arguments and flags.
func (r *resolving) read(cmd *cobra.Command, args []string) error {
	given := r.filter.given(cmd)
	switch {
	case r.all && len(args) > 0:
		return usagef("name ids or use --all, not both")
	case !r.all && len(args) == 0:
		return usagef("name the events to %s, or use --all; see omnibox dead list", r.verb)
	case !r.all && len(given) > 0:
		return usagef("%s choose among --all, and ids were named", list(given))
	case !r.all && r.limit != 0:
		return usagef("--limit is for --all")
	case r.limit < 0:
		return usagef("--limit %d: it is at least 0", r.limit)
	case strings.TrimSpace(r.by) == "":
		return usagef("--by must not be empty")
	}
	var err error
	if r.ids, err = parseIDs(args); err != nil {
		return err
	}
	r.storeFilter, err = r.filter.filter(time.Now())
	return err
}

// confirm asks before much is changed. Without a person to ask it needs --yes.
func (a *app) confirm(ctx context.Context, r *resolving, boxes []box) (bool, error) {
	if r.dry || r.yes {
		return true, nil
	}
	if !a.interactive {
		return false, usagef("%s --all changes many events: use --dry-run to see how many, then --yes", r.verb)
	}
	r.until = map[string]time.Time{}
	rehearsal := *r
	rehearsal.dry = true
	if err := rehearsal.run(ctx, a, boxes); err != nil {
		return false, err
	}
	if rehearsal.done == 0 {
		a.printf("Nothing to %s.\n", r.verb)
		return false, &codeError{code: exitNothing}
	}
	a.say("%s %s? [y/N] ", strings.ToUpper(r.verb[:1])+r.verb[1:], count(rehearsal.done, "dead event", "dead events"))
	answer, err := a.answer(ctx)
	if err != nil {
		a.say("\n")
		return false, err
	}
	if answer != "y" && answer != "yes" {
		a.printf("Nothing changed.\n")
		return false, &codeError{code: exitNothing}
	}
	return true, nil
}

// answer waits for a line, in lower case, until ctx ends. A read cannot be given
// up: it goes on until the program ends.
func (a *app) answer(ctx context.Context) (string, error) {
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(a.in).ReadString('\n') // the end of input is an answer, too
		line <- text
	}()
	select {
	case text := <-line:
		return strings.ToLower(strings.TrimSpace(text)), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// run does it to every table; ids that one table does not know are tried at the
// next.
func (r *resolving) run(ctx context.Context, a *app, boxes []box) error {
	ids := r.ids
	for _, b := range boxes {
		if !r.all && len(ids) == 0 {
			break
		}
		before := r.done
		progress := func(done int) {
			if r.all && !r.dry && a.interactive {
				a.say("\r%s: %d %s", b.name, done, r.past)
			}
			r.done = before + done
		}
		done, refused, err := r.inBox(ctx, b, ids, progress)
		r.done = before + done
		if r.all && !r.dry && a.interactive {
			a.say("\n")
		}
		ids = nil
		for _, one := range refused {
			if one.Unknown {
				ids = append(ids, one.ID)
			} else {
				r.refused = append(r.refused, one)
			}
		}
		if err != nil {
			return err
		}
	}
	for _, id := range ids {
		r.refused = append(r.refused, store.Refusal{ID: id, Reason: "no event or dead letter has this id", Unknown: true})
	}
	return nil
}

func (r *resolving) inBox(ctx context.Context, b box, ids []store.DeadID, progress func(int)) (int, []store.Refusal, error) {
	filter := b.narrow(r.storeFilter)
	if until, told := r.until[b.name]; told {
		filter.Until = until
	}
	if r.verb == "replay" {
		got, err := b.Replay(ctx, store.ReplayParams{
			IDs: ids, Filter: filter, By: r.by, Limit: r.limit, DryRun: r.dry, Progress: progress,
		})
		r.tell(b, got.Until)
		return got.Replayed, got.Refused, err
	}
	got, err := b.Discard(ctx, store.DiscardParams{
		IDs: ids, Filter: filter, By: r.by, Note: r.note, Limit: r.limit, DryRun: r.dry, Progress: progress,
	})
	r.tell(b, got.Until)
	return got.Discarded, got.Refused, err
}

// tell notes up to when a box was looked at.
func (r *resolving) tell(b box, until time.Time) {
	if r.until != nil {
		r.until[b.name] = until
	}
}

func (a *app) printResolved(r *resolving) error {
	if a.output == "json" {
		type refusal struct {
			ID     string `json:"id"`
			Reason string `json:"reason"`
		}
		refused := []refusal{}
		for _, one := range r.refused {
			refused = append(refused, refusal{ID: one.ID.String(), Reason: one.Reason})
		}
		return a.json(map[string]any{r.past: r.done, "dry_run": r.dry, "refused": refused})
	}
	what := strings.ToUpper(r.past[:1]) + r.past[1:]
	if r.dry {
		what = "Would have " + r.past
	}
	a.printf("%s %s.\n", what, count(r.done, "event", "events"))
	const most = 20
	for i, one := range r.refused {
		if i == most {
			a.printf("… and %d more\n", len(r.refused)-most)
			break
		}
		a.printf("Not %s: %s: %s\n", r.past, one.ID, one.Reason)
	}
	return nil
}
