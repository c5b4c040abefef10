package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker/config"
)

func newDead(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "dead", Short: "Look at dead letters, replay or discard them",
		Long: `An event whose attempts are used up, or that can never succeed, is dead: its row
is failed, and a dead letter says why. Replay puts it back, pending and due, with
no attempts made; discard closes its letter, and the row stays failed.`,
		Example: `  omnibox dead list --summary              # what goes wrong, and how often
  omnibox dead list --class permanent --since 24h
  omnibox dead show 5f0c0e9e-8f5f-4a53-9f0e-2a4a5b1f6c11
  omnibox dead replay --all --class transient --dry-run`,
		RunE: group,
	}
	cmd.AddCommand(newDeadList(a), newDeadShow(a), newDeadReplay(a), newDeadDiscard(a))
	return cmd
}

// filterFlags choose dead letters.
type filterFlags struct {
	pipeline, topic, key, typ, class, fingerprint, since, until string
}

func (f *filterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.pipeline, "pipeline", "p", "", "only of this `pipeline`")
	flags.StringVar(&f.topic, "topic", "", "only of this `topic`")
	flags.StringVar(&f.key, "key", "", "only of this `key`")
	flags.StringVar(&f.typ, "type", "", "only of this event `type`")
	flags.StringVar(&f.class, "class", "", "only of this error `class`: "+list(classes()))
	flags.StringVar(&f.fingerprint, "fingerprint", "", "only failures of this kind; see dead list --summary")
	flags.StringVar(&f.since, "since", "", "only those that died since `then`: 2h, 2026-01-31 or 2026-01-31T12:00:00Z")
	flags.StringVar(&f.until, "until", "", "only those that died before `then`")
}

// given names the flags that are set, pipeline aside.
func (f *filterFlags) given(cmd *cobra.Command) []string {
	var given []string
	for _, name := range []string{"topic", "key", "type", "class", "fingerprint", "since", "until"} {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	return given
}

// classes are those that a dead event can have.
func classes() []string {
	return []string{string(omnibox.ClassTransient), string(omnibox.ClassPermanent), string(omnibox.ClassPoison), string(omnibox.ClassFollowed)}
}

// filter is what the flags ask for.
func (f *filterFlags) filter(now time.Time) (store.DeadFilter, error) {
	if f.class != "" && !slices.Contains(classes(), f.class) {
		return store.DeadFilter{}, usagef("--class %s: it is one of %s", f.class, list(classes()))
	}
	out := store.DeadFilter{
		Topic: f.topic, Key: f.key, Type: f.typ, Class: omnibox.Class(f.class), Fingerprint: f.fingerprint,
	}
	var err error
	if out.Since, err = moment("--since", f.since, now); err != nil {
		return out, err
	}
	out.Until, err = moment("--until", f.until, now)
	return out, err
}

// names is the pipeline, if one was asked for.
func (f *filterFlags) names() []string {
	if f.pipeline == "" {
		return nil
	}
	return []string{f.pipeline}
}

// moment reads a time, or a duration before now.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d.Abs()), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("%s %s: give a duration such as 2h, or a time such as 2026-01-31T12:00:00Z", flag, text)
}

// tables leaves one pipeline a table, unless pipelines share it: then each has
// its own letters.
func tables(boxes []box) []box {
	var out []box
	seen := map[string]bool{}
	for _, b := range boxes {
		if b.shares || !seen[b.table] {
			out = append(out, b)
		}
		seen[b.table] = true
	}
	return out
}

// narrow leaves out the letters of other pipelines on the same table.
func (b box) narrow(f store.DeadFilter) store.DeadFilter {
	if b.shares {
		f.Pipeline = b.name
	}
	return f
}

func newDeadList(a *app) *cobra.Command {
	var f filterFlags
	var state, cursor string
	var limit int
	var summary bool
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, the latest first", Args: cobra.NoArgs,
		Long: `Lists dead letters that are open, the latest first. With --summary it groups them
by what went wrong. The exit code is 3 if there are none.`,
		Example: `  omnibox dead list --summary
  omnibox dead list --topic orders --class permanent --since 24h
  omnibox dead list --state all --output json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter(time.Now())
			if err != nil {
				return err
			}
			if filter.State, err = deadState(state); err != nil {
				return err
			}
			after, err := parseCursor(cursor)
			if err != nil {
				return err
			}
			if limit < 1 {
				return usagef("--limit %d: it is at least 1", limit)
			}
			return a.withBoxes(cmd.Context(), f.names(), func(cfg *config.Config, boxes []box) error {
				boxes = tables(boxes)
				if cursor != "" && len(boxes) > 1 {
					return usagef("--cursor is a place in the list of one pipeline: name it with --pipeline")
				}
				if summary {
					return a.summarize(cmd, boxes, filter, limit)
				}
				return a.listDead(cmd, newViewer(cfg), boxes, store.ListDeadParams{Filter: filter, After: after, Limit: limit})
			})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&state, "state", "open", "`state` of the letter: open, replayed, discarded or all")
	cmd.Flags().StringVar(&cursor, "cursor", "", "go on behind this `place`, which the page before has named")
	cmd.Flags().IntVar(&limit, "limit", 50, "the most that are listed of a table")
	cmd.Flags().BoolVar(&summary, "summary", false, "group by what went wrong")
	return cmd
}

func deadState(text string) (store.DeadState, error) {
	switch s := store.DeadState(text); s {
	case store.DeadOpen, store.DeadReplayed, store.DeadDiscarded:
		return s, nil
	default:
		if text == "all" {
			return "", nil
		}
		return "", usagef("--state %s: it is open, replayed, discarded or all", text)
	}
}

func formatCursor(c store.DeadCursor) string {
	return fmt.Sprintf("%d-%d", c.LastAt.UnixMicro(), c.ID)
}

func parseCursor(text string) (store.DeadCursor, error) {
	if text == "" {
		return store.DeadCursor{}, nil
	}
	at, id, ok := strings.Cut(text, "-")
	micros, err1 := strconv.ParseInt(at, 10, 64)
	n, err2 := strconv.ParseInt(id, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return store.DeadCursor{}, usagef("--cursor %s: take what the page before has named", text)
	}
	return store.DeadCursor{LastAt: time.UnixMicro(micros), ID: n}, nil
}

func (a *app) listDead(cmd *cobra.Command, v viewer, boxes []box, p store.ListDeadParams) error {
	views, next := []letterView{}, map[string]string{}
	filter := p.Filter
	for _, b := range boxes {
		p.Filter = b.narrow(filter)
		page, err := b.ListDead(cmd.Context(), p)
		if err != nil {
			return err
		}
		for _, l := range page.Letters {
			views = append(views, v.letter(l))
		}
		if page.Next != nil {
			next[b.name] = formatCursor(*page.Next)
		}
	}
	if a.output == "json" {
		if err := a.json(map[string]any{"dead_letters": views, "next": next}); err != nil {
			return err
		}
	} else {
		a.printLetters(views, next)
	}
	if len(views) == 0 {
		return &codeError{code: exitNothing}
	}
	return nil
}

func (a *app) printLetters(views []letterView, next map[string]string) {
	if len(views) == 0 {
		a.printf("No dead letters.\n")
		return
	}
	rows := make([][]any, len(views))
	for i, l := range views {
		rows[i] = []any{l.ID, l.EventID, l.Pipeline, l.Topic, short(l.Key, 24), l.Type, l.Class, l.Attempts, stamp(l.LastAt), l.State, short(l.Error, 60)}
	}
	a.table([]any{"no", "event", "pipeline", "topic", "key", "type", "class", "attempts", "died", "state", "error"}, rows)
	for _, name := range slices.Sorted(maps.Keys(next)) {
		a.printf("\nMore of %s: omnibox dead list --pipeline %s --cursor %s\n", name, name, next[name])
	}
}

// groupView is a kind of failure as JSON.
type groupView struct {
	Pipeline    string    `json:"pipeline"`
	Fingerprint string    `json:"fingerprint"`
	Class       string    `json:"class"`
	Letters     int       `json:"letters"`
	Keys        int       `json:"keys"`
	FirstAt     time.Time `json:"first_at"`
	LastAt      time.Time `json:"last_at"`
	Error       string    `json:"error"`
	Types       []string  `json:"types"`
}

func (a *app) summarize(cmd *cobra.Command, boxes []box, f store.DeadFilter, limit int) error {
	views := []groupView{}
	for _, b := range boxes {
		groups, err := b.SummarizeDead(cmd.Context(), b.narrow(f), limit)
		if err != nil {
			return err
		}
		for _, g := range groups {
			views = append(views, groupView{
				Pipeline: b.name, Fingerprint: g.Fingerprint, Class: string(g.ErrorClass), Letters: g.Letters, Keys: g.Keys,
				FirstAt: g.FirstAt, LastAt: g.LastAt, Error: g.Error, Types: g.Types,
			})
		}
	}
	if a.output == "json" {
		if err := a.json(views); err != nil {
			return err
		}
	} else if len(views) == 0 {
		a.printf("No dead letters.\n")
	} else {
		rows := make([][]any, len(views))
		for i, g := range views {
			rows[i] = []any{g.Pipeline, g.Letters, g.Keys, g.Class, g.Fingerprint, stamp(g.FirstAt), stamp(g.LastAt), short(list(g.Types), 30), short(g.Error, 60)}
		}
		a.table([]any{"pipeline", "letters", "keys", "class", "fingerprint", "first", "last", "types", "error"}, rows)
	}
	if len(views) == 0 {
		return &codeError{code: exitNothing}
	}
	return nil
}

// parseIDs reads event ids and numbers of dead letters.
func parseIDs(args []string) ([]store.DeadID, error) {
	ids := make([]store.DeadID, len(args))
	for i, arg := range args {
		if n, err := strconv.ParseInt(arg, 10, 64); err == nil && n > 0 {
			ids[i] = store.DeadID{Letter: n}
			continue
		}
		id, err := uuid.Parse(arg)
		if err != nil {
			return nil, usagef("%q is neither an event's id, such as 5f0c0e9e-8f5f-4a53-9f0e-2a4a5b1f6c11, nor the number of a dead letter; see omnibox dead list", arg)
		}
		ids[i] = store.DeadID{Event: id}
	}
	return ids, nil
}

// oneDatabase refuses numbers where several databases count their own.
func oneDatabase(ids []store.DeadID, boxes []box) error {
	databases := map[string]bool{}
	for _, b := range boxes {
		databases[b.cfg.Database] = true
	}
	if len(databases) > 1 && slices.ContainsFunc(ids, func(id store.DeadID) bool { return id.Letter != 0 }) {
		return usagef("every database numbers its own dead letters: name the pipeline with --pipeline, or give event ids")
	}
	return nil
}
