package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
)

// touching are the commands that read or change what a schema gives its meaning.
var touching = []string{
	"status", "dead list", "dead list --summary", "dead show 1", "dead replay 1", "dead replay --all --yes", "dead discard --all --yes",
	"pause", "pause --topic orders --key k1", "resume", "config apply",
}

func TestNoCommandTouchesANewerOrOlderSchema(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.dead(t)
	for change, want := range map[string]string{
		"insert into omnibox.version_core (version_id, is_applied) values (99, true)": "pipeline orders: schema of core has version 99, this binary knows up to ",
		"delete from omnibox.version_core where version_id > 1":                       "pipeline orders: schema of core has version 1, this binary needs ",
	} {
		c.exec(t, change)
		for _, line := range touching {
			r := c.run(t, line)
			require.Equal(t, exitError, r.code, line)
			require.Contains(t, r.err, want, line)
			require.Empty(t, r.out, line)
		}
	}
	require.Equal(t, "3", c.text(t, "select count(*)::text from omnibox.dead_letters where state = 'open'"))
	require.Equal(t, "0", c.text(t, "select ((select count(*) from omnibox.holds) + (select count(*) from omnibox.pipelines where paused_at is not null))::text"))
	require.Empty(t, c.text(t, "select coalesce(settings::text, '') from omnibox.boxes"))
}

func TestATableThatIsNotAdoptedYetIsNamed(t *testing.T) {
	t.Parallel()
	c := newCLIOn(t, devtest.Database(t))
	ddl, err := os.ReadFile("../../store/migrate/testdata/omni-box.sql")
	require.NoError(t, err)
	c.exec(t, string(ddl))
	for _, line := range touching {
		r := c.run(t, line)
		require.Equal(t, exitError, r.code, line)
		require.Contains(t, r.err, "run `omnibox migrate up`", line)
	}
}
