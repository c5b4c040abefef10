package faults

import (
	"cmp"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/omnibox-go/omnibox/dev/devtest"
)

var (
	count = flag.Int("faults", 10, "how many faults")
	seed  = flag.Uint64("seed", 0, "which faults; 0 for a seed that is printed")
	only  = flag.String("only", "", "only faults whose name contains this")
	rate  = flag.Int("rate", 250, "events a second")
)

// The proxy may leave a goroutine behind when a link ends while it is being broken.
func TestMain(m *testing.M) {
	devtest.Main(m, goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"))
}

// Programs that are workers.
const (
	stockBinary = "github.com/omnibox-go/omnibox/cmd/omnibox"
	ownStrategy = "github.com/omnibox-go/omnibox/examples/strategy"
)

// The campaigns come one after the other on the same servers.
//
// trap: 11, 15, 18, 36
func TestNothingIsLostOrOutOfOrderWhateverBreaks(t *testing.T) {
	if why := cannotRun(); why != "" {
		require.False(t, askedFor(), "%s: nothing was tested", why)
		t.Skip(why)
	}
	dir, err := os.MkdirTemp("", "omnibox-faults-") //nolint:usetesting // it stays when the test fails
	require.NoError(t, err)
	s, err := StartServers(t.Context(), dir, os.Stderr)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		if t.Failed() {
			t.Logf("logs of servers and workers are in %s", dir)
			return
		}
		require.NoError(t, os.RemoveAll(dir))
	})
	stock, err := BuildCommand(t.Context(), dir, stockBinary, "worker")
	require.NoError(t, err)

	t.Run("slots leased", func(t *testing.T) {
		campaign(t, &Campaign{Servers: s, Command: stock, Name: "shard", Claim: "shard", Faults: *count})
	})
	t.Run("lane auto", func(t *testing.T) {
		campaign(t, &Campaign{Servers: s, Command: stock, Name: "auto", Claim: "shard", Lane: "auto", Faults: some(4)})
	})
	t.Run("lane workflow", func(t *testing.T) { // at a rate that a Temporal dev server can keep up with beside all this, and with as many keys as that rate serves
		campaign(t, &Campaign{Servers: s, Command: stock, Name: "workflow", Claim: "shard", Lane: "workflow", Rate: 5, Keys: 15, Faults: some(3)})
	})
	t.Run("inbox", func(t *testing.T) {
		campaign(t, &Campaign{Servers: s, Command: stock, Name: "inbox", Claim: "shard", Ack: "on-persist", Faults: some(1), Only: ifShort("kill")})
	})
	t.Run("inbox, lane auto", func(t *testing.T) {
		campaign(t, &Campaign{Servers: s, Command: stock, Name: "inbox-auto", Claim: "shard", Lane: "auto", Ack: "on-success", Faults: some(1), Only: ifShort("crash Postgres")})
	})
	t.Run("inbox, long", func(t *testing.T) {
		if *count <= shortRun {
			t.Skip("for long runs")
		}
		t.Run("on success", func(t *testing.T) {
			campaign(t, &Campaign{Servers: s, Command: stock, Name: "inbox-success", Claim: "shard", Ack: "on-success", Faults: *count})
		})
		t.Run("exactly once", func(t *testing.T) {
			campaign(t, &Campaign{Servers: s, Command: stock, Name: "inbox-once", Claim: "shard", Ack: "exactly-once-inbox", Faults: *count})
		})
		t.Run("rows leased", func(t *testing.T) {
			campaign(t, &Campaign{Servers: s, Command: stock, Name: "inbox-row", Claim: "row", Ack: "on-persist", Faults: *count})
		})
		t.Run("lane workflow", func(t *testing.T) {
			campaign(t, &Campaign{Servers: s, Command: stock, Name: "inbox-workflow", Claim: "shard", Lane: "workflow", Ack: "on-persist", Rate: 5, Keys: 15, Faults: *count})
		})
	})
	t.Run("rows leased", func(t *testing.T) {
		campaign(t, &Campaign{Servers: s, Command: stock, Name: "row", Claim: "row", Faults: min(*count, 3)})
	})
	t.Run("own strategies", func(t *testing.T) {
		own, err := BuildCommand(t.Context(), dir, ownStrategy)
		require.NoError(t, err)
		campaign(t, &Campaign{
			Servers: s, Command: own, Name: "strategy", Claim: "shard", Faults: min(*count, 2), Only: "kill",
			Promises: []Promise{{"rows that are completed without a delivery, or the other way round", `
				select coalesce(o.id, d.event_id)::text from (select id from outbox_events where status = 'completed') o
				full join deliveries d on d.event_id = o.id where o.id is null or d.event_id is null`}},
		})
	})
}

// shortRun is how many faults a run has, at most, that is part of all tests.
const shortRun = 10

// some is n of the faults of a short run, and all of a long one.
func some(n int) int {
	if *count <= shortRun {
		return min(n, *count)
	}
	return *count
}

// ifShort narrows the faults of a short run to those that do not take long.
func ifShort(only string) string {
	if *count <= shortRun {
		return only
	}
	return ""
}

// cannotRun says why the campaigns cannot be run here; empty if they can.
func cannotRun() string {
	if _, err := exec.LookPath("java"); err != nil && os.Getenv("JAVA_HOME") == "" {
		return "no Java for Kafka"
	}
	if testing.Short() {
		return "real servers, and minutes"
	}
	return ""
}

// askedFor tells whether faults were asked for by number: then they are not left out.
func askedFor() (asked bool) {
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "faults" })
	return asked
}

// campaign runs a campaign with the settings that all have.
func campaign(t *testing.T, c *Campaign) {
	t.Helper()
	c.Seed = *seed
	for c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if *only != "" {
		c.Only = *only
	}
	c.Rate, c.Lane = cmp.Or(c.Rate, *rate), cmp.Or(c.Lane, "batch")
	c.Keys = cmp.Or(c.Keys, 100)
	c.Lease, c.Shards, c.Logf = 5*time.Second, 4, t.Logf
	t.Logf("seed: go test ./dev/faults -run %s -faults=%d -seed=%d", strings.ReplaceAll(t.Name(), " ", "_"), c.Faults, c.Seed)
	report, err := c.Run(t.Context())
	t.Logf("\n%s", report)
	if err != nil || len(report.Broken) > 0 {
		t.Logf("logs: %s %s/worker-*.log", c.Servers.Logs(), c.dir())
		t.Logf("broken promises:\n%s", strings.Join(report.Broken, "\n"))
	}
	require.NoError(t, err)
	require.Empty(t, report.Broken)
}
