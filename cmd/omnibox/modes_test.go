package main

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
)

// A url for a pooler, which has no prepared statements, serves every command, from
// a database with nothing in it.
func TestEveryCommandInEveryQueryMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			plain := devtest.Database(t)
			u, err := url.Parse(plain)
			require.NoError(t, err)
			q := u.Query()
			q.Set("default_query_exec_mode", mode)
			u.RawQuery = q.Encode()
			c := newCLIOn(t, u.String())
			run := func(code int, line string) {
				r := c.run(t, line)
				require.Equal(t, code, r.code, "%s: %s", line, r.err)
			}
			run(exitOK, "migrate up")
			run(exitOK, "migrate up")
			run(exitOK, "migrate status")
			run(exitNothing, "config apply")
			(&cli{db: openPool(t, plain)}).dead(t)
			for _, line := range []string{
				"status", "status -o json", "pause", "status", "resume", "pause --topic orders --key k1", "status",
				"resume --topic orders --key k1", "dead list", "dead list --since 1h --class transient -o json",
				"dead list --summary", "dead show 1", "dead show " + deadA + " --payload", "dead replay --all --dry-run",
				"dead replay " + deadA, "dead discard 2 --note test", "dead replay --all --yes", "dead list --state all",
			} {
				run(exitOK, line)
			}
		})
	}
}
