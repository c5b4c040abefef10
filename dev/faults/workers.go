package faults

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/goccy/go-yaml"

	"github.com/omnibox-go/omnibox/dev/servers"
)

// Command makes the command that runs one worker with a configuration file.
type Command func(ctx context.Context, configFile string) *exec.Cmd

// BuildCommand builds a program and returns the Command that runs it with args and
// "-c file". The stock binary's argument is "worker"; any program that reads the
// same configuration can take its place.
func BuildCommand(ctx context.Context, dir, pkg string, args ...string) (Command, error) {
	binary := filepath.Join(dir, "bin", filepath.Base(pkg))
	out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, pkg).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return func(ctx context.Context, configFile string) *exec.Cmd {
		return exec.CommandContext(ctx, binary, append(slices.Clone(args), "-c", configFile)...)
	}, nil
}

// configFile writes the configuration of the campaign's workers.
func (c *Campaign) configFile(b box, databaseURL string) (string, error) {
	type section = map[string]any
	settings := section{
		"shards": c.Shards, "claim": c.Claim, "lease": c.Lease.String(), "lane": c.Lane,
		// short drains and a large budget, so that lane auto takes both in turn
		"slice": "2s", "workflow_budget": 6000,
	}
	maps.Copy(settings, b.settings)
	text, err := yaml.Marshal(section{
		"databases": section{"main": section{"url": databaseURL}},
		"brokers":   section{"kafka": section{"addresses": c.Servers.Kafka.Brokers()}},
		b.kind:      section{pipelineName: settings},
		"temporal":  section{"address": c.Servers.ToTemporal.Address(), "namespace": "default", "id_prefix": c.Name},
		"http":      section{"listen": "off"},
		"shutdown":  section{"grace": "10s"},
	})
	if err != nil {
		return "", err
	}
	file := filepath.Join(c.dir(), "omnibox.yaml")
	return file, os.WriteFile(file, text, 0o600)
}

func (r *run) startWorkers(ctx context.Context, databaseURL string) error {
	file, err := r.configFile(r.box, databaseURL)
	if err != nil {
		return err
	}
	for i := range 2 {
		w, err := servers.StartProgram(ctx, servers.ProgramOptions{
			Name: fmt.Sprintf("worker-%d", i+1), Dir: r.dir(),
			Command: func(ctx context.Context) *exec.Cmd { return r.Command(ctx, file) },
		})
		if err != nil {
			return err
		}
		r.workers = append(r.workers, w)
	}
	return nil
}
