package dev_test

import (
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/worker/config"
)

// loadCompose reads the file as "docker compose" does, without this machine's
// environment.
func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../docker-compose.yml"}, cli.WithEnv(nil))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, project.Services)
	return project
}

func TestComposeImagesArePinned(t *testing.T) {
	t.Parallel()
	for name, s := range loadCompose(t).Services {
		if s.Build != nil {
			continue
		}
		_, tag, ok := strings.Cut(s.Image, ":")
		require.True(t, ok, "%s: image %q has no tag", name, s.Image)
		require.Regexp(t, `^\d+\.\d+(\.\d+)?$`, tag, "%s: image %q is not pinned", name, s.Image)
	}
}

func TestComposeServersHaveHealthChecks(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	for _, name := range []string{"postgres", "kafka", "temporal", "temporal-ui"} {
		s, err := project.GetService(name)
		require.NoError(t, err)
		require.NotNil(t, s.HealthCheck, name)
		require.NotEmpty(t, s.HealthCheck.Test, name)
		require.False(t, s.HealthCheck.Disable, name)
	}
}

// Whoever waits for health waits for somebody who can say so, and whoever waits for
// an end waits for a job.
func TestComposeDependenciesCanBeMet(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	for name, s := range project.Services {
		for on, dependency := range s.DependsOn {
			other, err := project.GetService(on)
			require.NoError(t, err, "%s waits for %s", name, on)
			switch dependency.Condition {
			case types.ServiceConditionHealthy:
				require.NotNil(t, other.HealthCheck, "%s waits for the health of %s", name, on)
			case types.ServiceConditionCompletedSuccessfully:
				require.Contains(t, []string{"", "no", "on-failure:5", "on-failure:10"}, other.Restart, "%s waits for the end of %s", name, on)
			default:
				require.Fail(t, "unexpected condition", "%s waits for %s: %s", name, on, dependency.Condition)
			}
		}
	}
}

func TestComposeRunsTwoWorkers(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	worker, err := project.GetService("worker")
	require.NoError(t, err)
	require.Equal(t, 2, worker.GetScale())
	require.Empty(t, worker.ContainerName, "two containers cannot share a name")
	require.Empty(t, worker.Ports, "two containers cannot share a port")
	require.Equal(t, types.ShellCommand{"worker"}, worker.Command)
	for _, on := range []string{"migrate", "kafka", "temporal-namespace"} {
		require.Contains(t, worker.DependsOn, on)
	}
	migrate, err := project.GetService("migrate")
	require.NoError(t, err)
	require.Equal(t, types.ShellCommand{"migrate", "up"}, migrate.Command)
	require.Equal(t, worker.Image, migrate.Image)
}

// A worker can be probed from outside of its container, and by itself: its image
// has no shell.
func TestComposeWorkerCanBeProbed(t *testing.T) {
	t.Parallel()
	dockerfile, err := os.ReadFile("../Dockerfile")
	require.NoError(t, err)
	binary := regexp.MustCompile(`(?m)^ENTRYPOINT \["(.+)"\]$`).FindSubmatch(dockerfile)
	require.NotNil(t, binary)
	listen := regexp.MustCompile(`(?m)^ENV (OMNIBOX_HTTP_LISTEN=\S+)$`).FindSubmatch(dockerfile)
	require.NotNil(t, listen)
	cfg, err := config.Parse("", nil, []string{
		string(listen[1]), "OMNIBOX_DATABASE_URL=postgres://db/app", "OMNIBOX_KAFKA_BROKERS=kafka:9092",
	})
	require.NoError(t, err)
	host, _, err := net.SplitHostPort(cfg.HTTP.Listen)
	require.NoError(t, err)
	require.Empty(t, host, "on all addresses")

	worker, err := loadCompose(t).GetService("worker")
	require.NoError(t, err)
	require.NotContains(t, worker.Environment, "OMNIBOX_HTTP_LISTEN", "that of the image is kept")
	require.NotNil(t, worker.HealthCheck)
	require.Equal(t, types.HealthCheckTest{"CMD", string(binary[1]), "health"}, worker.HealthCheck.Test)
}

// Every variable is one that omnibox reads, and leads to a service and a port that
// exist.
func TestComposeWorkerIsConfigured(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	worker, err := project.GetService("worker")
	require.NoError(t, err)
	env := worker.Environment
	require.Equal(t, []string{"OMNIBOX_DATABASE_URL", "OMNIBOX_KAFKA_BROKERS", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"},
		slices.Sorted(maps.Keys(env)))
	var environ []string
	for name, value := range env {
		environ = append(environ, name+"="+*value)
	}
	_, err = config.Parse("", nil, environ)
	require.NoError(t, err)
	require.Contains(t, *env["OMNIBOX_DATABASE_URL"], "@postgres:5432/")
	require.Equal(t, "kafka:9092", *env["OMNIBOX_KAFKA_BROKERS"])
	require.Equal(t, "temporal:7233", *env["TEMPORAL_ADDRESS"])

	kafka, err := project.GetService("kafka")
	require.NoError(t, err)
	require.Contains(t, *kafka.Environment["KAFKA_ADVERTISED_LISTENERS"], "://kafka:9092")
	namespace, err := project.GetService("temporal-namespace")
	require.NoError(t, err)
	require.Equal(t, *env["TEMPORAL_NAMESPACE"], *namespace.Environment["TEMPORAL_NAMESPACE"])
	// The server reads a dynamic config file at start and ends without one.
	temporal, err := project.GetService("temporal")
	require.NoError(t, err)
	require.Len(t, temporal.Configs, 1)
	require.Equal(t, *temporal.Environment["DYNAMIC_CONFIG_FILE_PATH"], temporal.Configs[0].Target)
	require.Contains(t, project.Configs, temporal.Configs[0].Source)
}
