package traps_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/traps"
)

var update = flag.Bool("update", false, "write docs/traps.md")

const root = "../.."

func TestEveryTrapHasATest(t *testing.T) {
	t.Parallel()
	found, err := traps.Find(root)
	require.NoError(t, err)
	known := map[string]bool{}
	for _, trap := range traps.All {
		known[trap.ID] = true
		if !trap.Later {
			require.NotEmpty(t, found[trap.ID], "trap %s (%s) has no test that says so", trap.ID, trap.What)
		}
	}
	for id, tests := range found {
		require.True(t, known[id], "%v names trap %q, which does not exist", tests, id)
	}
}

func TestTableIsUpToDate(t *testing.T) {
	t.Parallel()
	found, err := traps.Find(root)
	require.NoError(t, err)
	file := filepath.Join(root, "docs", "traps.md")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(traps.Table(found)), 0o644))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, traps.Table(found), string(text), "run `go test ./dev/traps -update`")
}
