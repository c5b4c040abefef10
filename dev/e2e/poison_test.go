package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

// envChild makes the test binary a worker with the configuration in that file, which
// dies of poison, or at the point of envCrash.
const envChild = "OMNIBOX_E2E_CHILD"

func runChild(file string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	// The variables of the test's own environment are not the child's.
	data, err := os.ReadFile(file)
	if err == nil {
		var cfg *config.Config
		if cfg, err = config.Parse(file, data, nil); err == nil {
			opts := []worker.Option{worker.Log(slog.New(slog.NewTextHandler(os.Stderr, nil)))}
			if at := os.Getenv(envCrash); at != "" {
				opts = append(opts, crashing(cfg, point(at))...)
			} else {
				opts = append(opts, worker.Step(pipelineName, &step{run: dieOfPoison}))
			}
			err = worker.Run(ctx, cfg, opts...)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func dieOfPoison(_ context.Context, e *omnibox.Event, _ int) error {
	if e.Key == "poison" {
		os.Exit(86)
	}
	return nil
}

// An event that kills its worker again and again ends up dead, and those that were
// in hand with it are delivered as if nothing had been.
//
// trap: 12
func TestAnEventThatKillsItsWorkerEndsUpDeadAndOthersDoNotSuffer(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	kafkaTopic := newTopic(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "omnibox.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
databases: { main: { url: %q } }
brokers: { kafka: { addresses: [%q] } }
outboxes: { orders: { shards: 1, lease: 5s } }
temporal: { address: %q, namespace: default, id_prefix: %q }
http: { listen: "off" }
`, b.url, devtest.Brokers(t)[0], devtest.Temporal(t).Address(), b.prefix), 0o600))

	for n := 1; n <= 5; n++ {
		for _, key := range []string{"a", "poison", "b"} {
			if key == "poison" && n != 3 {
				continue
			}
			e := event(key, n)
			e.Topic = kafkaTopic
			b.enqueue(e)
		}
	}
	child, err := servers.StartProgram(t.Context(), servers.ProgramOptions{
		Name: "worker", Dir: dir,
		Command: func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), envChild+"="+file)
			return cmd
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, child.Close()) })
	lives := 1
	require.Eventually(t, func() bool {
		if !child.Running() {
			require.NoError(t, child.Start(context.WithoutCancel(t.Context())))
			lives++
		}
		return ask[int](b, "select count(*) from outbox_events where status = 'pending'") == 0
	}, 3*time.Minute, 50*time.Millisecond)
	t.Logf("%d lives", lives)

	require.Equal(t, "poison poison", ask[string](b, `select string_agg(partition_key || ' ' || error_class, ',') from outbox_events where status = 'failed'`))
	require.Equal(t, "poison", ask[string](b, "select string_agg(error_class, ',') from omnibox.dead_letters"))
	require.Zero(t, ask[int](b, "select count(*) from outbox_events where status = 'completed' and attempts_made > 0"))
	records := readTopic(t, kafkaTopic, 10)
	require.Equal(t, series("a", 1, 5), firsts(only("a", records)))
	require.Equal(t, series("b", 1, 5), firsts(only("b", records)))
	require.Empty(t, only("poison", records))
}

// firsts leaves repetitions out.
func firsts(records []string) (first []string) {
	seen := map[string]bool{}
	for _, r := range records {
		if !seen[r] {
			first = append(first, r)
		}
		seen[r] = true
	}
	return first
}
