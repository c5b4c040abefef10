package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARecordedHistoryIsNeverReplaced(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "poller-idle-1.json")
	require.False(t, exists(file))
	require.NoError(t, writeNew(file, []byte("first")))
	require.True(t, exists(file))
	require.ErrorContains(t, writeNew(file, []byte("second")), "never replaced")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "first", string(text))
}
