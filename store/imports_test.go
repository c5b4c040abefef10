package store_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A producer that imports store compiles the standard library, pgx and uuid.
func TestProducersCompileNoMoreThanPgx(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	require.NoError(t, err)
	allowed := []string{
		"github.com/omnibox-go/omnibox", "github.com/google/uuid", "github.com/jackc/",
		"golang.org/x/sync/semaphore", "golang.org/x/text/", // pgx's own
	}
	for pkg := range strings.FieldsSeq(string(out)) {
		require.True(t, hasPrefixOf(pkg, allowed), "store compiles %s", pkg)
		require.NotContains(t, pkg, "store/migrate")
	}
}

func hasPrefixOf(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
