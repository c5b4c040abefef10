package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthTimeout is less than what containers are usually given for a check.
const healthTimeout = 3 * time.Second

func newHealth(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Ask the worker on this host whether it is ready", Args: cobra.NoArgs,
		Long: `Asks the worker that serves on http.listen, on this host, for /readyz, and shows
what it says. It is for the health check of a container, which needs no shell and
no other program for it.

The exit code is 4 if the worker is not ready, and 1 if none answers.`,
		Example: "  omnibox health",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.databases()
			if err != nil {
				return err
			}
			if cfg.HTTP.Listen == "" {
				return usagef("http.listen is off: a worker cannot be asked")
			}
			ready, said, err := askReady(cmd.Context(), cfg.HTTP.Listen)
			if err != nil {
				return err
			}
			a.printf("%s\n", strings.TrimSpace(said))
			if !ready {
				return &codeError{code: exitProblem}
			}
			return nil
		},
	}
}

// askReady asks the worker that listens on an address of this host.
func askReady(ctx context.Context, listen string) (ready bool, said string, err error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return false, "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost" // it listens on all
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return false, "", err
	}
	client := http.Client{Transport: &http.Transport{}} // by no proxy, and none is kept
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return false, "", fmt.Errorf("ask the worker on %s: %w", listen, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode == http.StatusOK, string(body), err
}
