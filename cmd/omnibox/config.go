package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker/config"
)

func newConfig(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Check the configuration, or store what workers must agree on",
		RunE: group,
	}
	cmd.AddCommand(newConfigCheck(a), newConfigApply(a))
	return cmd
}

func newConfigCheck(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Report every mistake in the configuration, or show what is in force", Args: cobra.NoArgs,
		Long: `Reads the file and the environment. With mistakes it reports all of them, each
with its line or variable, and ends with code 2. Without any it shows what is in
force, defaults included and passwords left out. It connects to nothing.`,
		Example: `  omnibox -c omnibox.yaml config check
  OMNIBOX_OUTBOXES_ORDERS_BATCH=200 omnibox -c omnibox.yaml config check`,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := config.Load(a.configPath)
			if err != nil {
				return &codeError{code: exitUsage, err: fmt.Errorf("configuration is not valid:\n%w", err)}
			}
			text, err := cfg.YAML()
			if err != nil {
				return err
			}
			if a.output == "json" {
				if text, err = yaml.YAMLToJSON(text); err != nil {
					return err
				}
			}
			a.printf("%s", text)
			return nil
		},
	}
}

// appliedSettings is what config apply did to a pipeline.
type appliedSettings struct {
	Pipeline string       `json:"pipeline"`
	Changed  []difference `json:"changed"`
}

type difference struct {
	Key  string `json:"key"`
	From string `json:"from"`
	To   string `json:"to"`
}

func newConfigApply(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "apply [pipeline...]", Short: "Store what all workers of a table must agree on",
		Long: `Order depends on claim, lease, ordering and behind_failure. The first worker of a
table stores its own, and a worker that differs does not poll. This stores those
of the configuration, for all pipelines or for those named.

Stop the workers that run with the old ones first: order is not kept while both
work. It is refused while workers have events of the table in their hands, unless
you --force it. A worker that runs on all the same, because it had nothing to do,
stops the pipeline within seconds, and says so.

The exit code is 3 if nothing changed.`,
		Example: "  omnibox -c omnibox.yaml config apply orders",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withBoxes(cmd.Context(), args, func(_ *config.Config, boxes []box) error {
				if !force {
					if err := refuseApply(cmd.Context(), boxes); err != nil {
						return err
					}
				}
				all, changed := []appliedSettings{}, false
				for _, b := range boxes {
					got, err := b.ApplySettings(cmd.Context(), b.Settings())
					if err != nil {
						return err
					}
					one := appliedSettings{Pipeline: b.name, Changed: []difference{}}
					for _, d := range got.Differences {
						one.Changed = append(one.Changed, difference{Key: d.Key, From: d.Stored, To: d.Configured})
						changed = true
					}
					all = append(all, one)
				}
				if err := a.printSettings(all); err != nil || changed {
					return err
				}
				return &codeError{code: exitNothing}
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also while workers have events in their hands: order is not kept until they have ended")
	return cmd
}

// refuseApply keeps settings that differ from a table whose workers are at work.
func refuseApply(ctx context.Context, boxes []box) error {
	for _, b := range boxes {
		err := b.Register(ctx, b.Settings()) // writes down what is not known yet, as a worker does
		if _, differ := errors.AsType[*store.SettingsMismatchError](err); !differ {
			if err != nil {
				return err
			}
			continue
		}
		owners, err := b.Workers(ctx)
		if err != nil {
			return err
		}
		if len(owners) > 0 {
			return fmt.Errorf("pipeline %s: workers have events of table %s in their hands: %s; stop them first, or --force it",
				b.name, b.cfg.Table, list(owners))
		}
	}
	return nil
}

func (a *app) printSettings(all []appliedSettings) error {
	if a.output == "json" {
		return a.json(all)
	}
	for _, one := range all {
		if len(one.Changed) == 0 {
			a.printf("%s: nothing to change\n", one.Pipeline)
		}
		for _, d := range one.Changed {
			a.printf("%s: %s was %s, is %s\n", one.Pipeline, d.Key, d.From, d.To)
		}
	}
	return nil
}
