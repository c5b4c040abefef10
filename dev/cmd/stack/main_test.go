package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/devtest"
)

// asStack makes the test binary the program.
const asStack = "OMNIBOX_TEST_AS_STACK"

func TestMain(m *testing.M) {
	if os.Getenv(asStack) != "" {
		os.Exit(run())
	}
	devtest.Main(m)
}

func stackCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asStack+"=1", devtest.EnvDatabaseURL+"=")
	cmd.Stderr = os.Stderr
	return cmd
}

func TestCommandFindsTheServerAndItsCodeIsReturned(t *testing.T) {
	t.Parallel()
	out, err := stackCommand(t, "-postgres", "--", "sh", "-c", "echo $OMNIBOX_TEST_DATABASE_URL; exit 7").Output()
	exit, ok := errors.AsType[*exec.ExitError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, 7, exit.ExitCode())
	require.Contains(t, string(out), "postgres://postgres@127.0.0.1:")
}

func TestSignalsAreForwarded(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		cmd := stackCommand(t, "--", "sh", "-c", `trap 'exit 9' TERM INT; echo ready; while :; do sleep 0.1; done`)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "ready\n", line)
		require.NoError(t, cmd.Process.Signal(sig))
		exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
		require.True(t, ok)
		require.Equal(t, 9, exit.ExitCode())
	}
}
