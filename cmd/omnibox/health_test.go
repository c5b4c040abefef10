package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHealthIsThatOfTheWorkerOnThisHost(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	status.Store(http.StatusOK)
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(int(status.Load()))
		_, _ = fmt.Fprintln(w, "answer of", r.URL.Path)
	}))
	address := worker.Listener.Addr().String()
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	health := func(listen string) result {
		c := &cli{config: writeConfig(t, fmt.Sprintf("databases: { main: { url: postgres://db/app } }\nhttp: { listen: %q }\n", listen))}
		return c.run(t, "health")
	}
	for _, listen := range []string{address, ":" + port, "0.0.0.0:" + port} {
		r := health(listen)
		require.Zero(t, r.code, r.err)
		require.Equal(t, "answer of /readyz\n", r.out)
	}
	status.Store(http.StatusServiceUnavailable)
	r := health(address)
	require.Equal(t, exitProblem, r.code)
	require.Equal(t, "answer of /readyz\n", r.out)

	worker.Close()
	r = health(address)
	require.Equal(t, exitError, r.code)
	require.Contains(t, r.err, "ask the worker on "+address)
	r = health("off")
	require.Equal(t, exitUsage, r.code)
}
