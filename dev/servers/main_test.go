package servers_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/omnibox-go/omnibox/dev/servers"
)

// crashEnv makes the test binary a program that starts servers and crashes.
const crashEnv = "OMNIBOX_TEST_CRASH"

func TestMain(m *testing.M) {
	if os.Getenv(crashEnv) != "" {
		crash()
	}
	goleak.VerifyTestMain(m,
		// sarama's metrics have one goroutine for the life of the program.
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

func crash() {
	ctx := context.Background()
	p, err := servers.StartPostgres(ctx, servers.PostgresOptions{Dir: os.Args[1]})
	if err != nil {
		panic(err)
	}
	t, err := servers.StartTemporal(ctx, servers.TemporalOptions{Dir: os.Args[2], Headless: true})
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stdout, p.Pid(), t.Pid())
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func TestServersDieWithTheProgram(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], t.TempDir(), t.TempDir())
	cmd.Env = append(os.Environ(), crashEnv+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.ErrorContains(t, err, "killed")
	pids := strings.Fields(string(out))
	require.Len(t, pids, 2)
	for _, s := range pids {
		pid, err := strconv.Atoi(s)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return gone(pid) }, time.Minute, 20*time.Millisecond, "pid %d lives", pid)
	}
}

// gone reports whether a process has ended, reaped by its new parent or not.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}
