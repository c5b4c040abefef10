package lab

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseStat(t *testing.T) {
	got, ok := parseStat([]byte("4711 (post) (gres) S 42 1 1 0 -1 4194560 10 20 30 40 150 50 300 100 20 0 1 0 99"))
	require.True(t, ok)
	require.Equal(t, stat{parent: 42, own: 2, children: 4}, got)

	_, ok = parseStat([]byte("4711 (postgres) S 42"))
	require.False(t, ok)
}

func TestProcessTreeHasTheChildren(t *testing.T) {
	self, ok := readStat("self")
	require.True(t, ok)
	require.Equal(t, os.Getppid(), self.parent)
	require.GreaterOrEqual(t, processTree(self.parent), process(os.Getpid()))
}
