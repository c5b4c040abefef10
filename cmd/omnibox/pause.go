package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// keyFlags name one key of a pipeline.
type keyFlags struct{ topic, key string }

func (f *keyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.topic, "topic", "", "`topic` of the key")
	cmd.Flags().StringVar(&f.key, "key", "", "only this `key`, which needs --topic")
}

func (f *keyFlags) check() error {
	if (f.topic == "") != (f.key == "") {
		return usagef("--topic and --key go together: a key is one of a topic")
	}
	return nil
}

func (f *keyFlags) orderKey() omnibox.OrderKey { return omnibox.OrderKey{Topic: f.topic, Key: f.key} }

// paused is what pause and resume did.
type paused struct {
	Pipeline string     `json:"pipeline"`
	Topic    string     `json:"topic,omitempty"`
	Key      string     `json:"key,omitempty"`
	Changed  bool       `json:"changed"`
	At       *time.Time `json:"paused_at,omitempty"`
	By       string     `json:"paused_by,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Freed    int        `json:"freed,omitempty"`
}

func newPause(a *app) *cobra.Command {
	var key keyFlags
	var by, reason string
	cmd := &cobra.Command{
		Use: "pause [pipeline]", Short: "Stop a pipeline, or one of its keys", Args: atMost(1, "the pipeline"),
		Long: `Workers finish what they have fetched and fetch nothing more, until resume. Rows
wait; nothing is lost. Consumers of an inbox go on, up to max_pending. A second
pause changes nothing: the exit code is 3.`,
		Example: `  omnibox pause orders --reason "broker moves"
  omnibox pause orders --topic orders --key 4711`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := key.check(); err != nil {
				return err
			}
			if key.key != "" && reason != "" {
				return usagef("--reason is for a whole pipeline: a key's pause keeps none")
			}
			return a.one(cmd.Context(), args, func(b box) error {
				var got store.PauseResult
				var err error
				if key.key == "" {
					got, err = b.Pause(cmd.Context(), store.PauseParams{By: by, Reason: reason})
				} else {
					got, err = b.PauseKey(cmd.Context(), store.PauseKeyParams{Key: key.orderKey(), By: by})
				}
				if err != nil {
					return err
				}
				return a.printPause("Paused", "Already paused", b, key, &got.Pause, got.Changed, 0)
			})
		},
	}
	key.add(cmd)
	cmd.Flags().StringVar(&by, "by", whoami(), "`who` asks, for those who look later")
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for those who look later")
	return cmd
}

func newResume(a *app) *cobra.Command {
	var key keyFlags
	cmd := &cobra.Command{
		Use: "resume [pipeline]", Short: "Let a paused pipeline or key go on", Args: atMost(1, "the pipeline"),
		Long: `Ends a pause and wakes the workers up. If there is none the exit code is 3.
Resuming a pipeline leaves keys that were paused by themselves as they are.`,
		Example: `  omnibox resume orders
  omnibox resume orders --topic orders --key 4711`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := key.check(); err != nil {
				return err
			}
			return a.one(cmd.Context(), args, func(b box) error {
				if key.key == "" {
					got, err := b.Resume(cmd.Context())
					if err != nil {
						return err
					}
					return a.printPause("Resumed", "Was not paused", b, key, got.Pause, got.Pause != nil, 0)
				}
				got, err := b.ResumeKey(cmd.Context(), key.orderKey())
				if err != nil {
					return err
				}
				return a.printPause("Resumed", "Was not paused", b, key, got.Pause, got.Pause != nil, got.Freed)
			})
		},
	}
	key.add(cmd)
	return cmd
}

func (a *app) printPause(did, didNot string, b box, key keyFlags, p *store.Pause, changed bool, freed int) error {
	out := paused{Pipeline: b.name, Topic: key.topic, Key: key.key, Changed: changed, Freed: freed}
	if p != nil {
		out.At, out.By, out.Reason = &p.At, p.By, p.Reason
	}
	if a.output == "json" {
		if err := a.json(out); err != nil {
			return err
		}
	} else {
		a.printf("%s: %s", map[bool]string{true: did, false: didNot}[changed], b.name)
		if key.key != "" {
			a.printf(", key %s of topic %s", key.key, key.topic)
		}
		if p != nil {
			a.printf(" (%s)", since(*p))
		}
		if freed > 0 {
			a.printf("; %s set free", count(freed, "waiting event", "waiting events"))
		}
		a.printf("\n")
	}
	if !changed {
		return &codeError{code: exitNothing}
	}
	return nil
}

// since says when a pause began and, as far as it is known, who asked and why.
func since(p store.Pause) string {
	out := "since " + stamp(p.At)
	if p.By != "" {
		out += ", by " + p.By
	}
	if p.Reason != "" {
		out += ": " + p.Reason
	}
	return out
}
