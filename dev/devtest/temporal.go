package devtest

import (
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/omnibox-go/omnibox/dev/servers"
)

var temporal shared[*servers.Temporal]

// Temporal is the shared dev server, with the limits lifted that a test under load
// would meet. It cannot be killed; [StartTemporal] gives one that can.
func Temporal(tb testing.TB) *servers.Temporal {
	tb.Helper()
	return temporal.get(tb, func(ctx context.Context) (*servers.Temporal, error) {
		if a := os.Getenv(EnvTemporalAddress); a != "" {
			return servers.ExternalTemporal(a), nil
		}
		return servers.StartTemporal(ctx, servers.TemporalOptions{
			DBFile: "-", Headless: true, DynamicConfig: servers.TemporalLoad(), Progress: os.Stderr,
		})
	})
}

// StartTemporal starts a dev server for this test alone.
func StartTemporal(tb testing.TB, o servers.TemporalOptions) *servers.Temporal {
	tb.Helper()
	s, err := servers.StartTemporal(tb.Context(), o)
	return own(tb, s, err)
}

// Namespace creates a namespace of the shared server for the test and returns its
// name. It is not removed: the server forgets it when it stops.
func Namespace(tb testing.TB) string {
	tb.Helper()
	server := Temporal(tb)
	binary, err := servers.TemporalBinary(tb.Context(), os.Stderr)
	if err != nil {
		tb.Fatal(err)
	}
	name := "test-" + strings.ToLower(rand.Text()[:16])
	cmd := exec.CommandContext(tb.Context(), binary, "operator", "namespace", "create",
		"--address", server.Address(), "--retention", "24h", "--namespace", name)
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("create namespace: %v\n%s", err, out)
	}
	return name
}
