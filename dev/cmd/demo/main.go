// Command demo shows omnibox at work: see package dev/demo. It starts what it
// needs, except where OMNIBOX_DATABASE_URL, OMNIBOX_KAFKA_BROKERS or
// TEMPORAL_ADDRESS say that it is there.
//
// In a terminal it stays up behind its summary until it is interrupted.
// Otherwise, or with -once, it ends by itself: with exit code 0 if every
// promise was kept.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/mattn/go-isatty"

	"github.com/omnibox-go/omnibox/dev/demo"
	"github.com/omnibox-go/omnibox/dev/demo/billing"
)

func main() { os.Exit(run()) }

func run() int {
	if code, was := billing.Main(os.Stderr); was {
		return code
	}
	once := flag.Bool("once", false, "end behind the summary, also in a terminal")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once

	terminal := isatty.IsTerminal(os.Stdout.Fd())
	o := demo.Options{
		Out: os.Stdout, Terminal: terminal, Stay: terminal && !*once,
		DatabaseURL:     os.Getenv("OMNIBOX_DATABASE_URL"),
		TemporalAddress: os.Getenv("TEMPORAL_ADDRESS"),
		Brokers:         strings.FieldsFunc(os.Getenv("OMNIBOX_KAFKA_BROKERS"), func(r rune) bool { return r == ',' || r == ' ' }),
	}
	if o.TemporalAddress == "" {
		ownTemporal()
	}
	err := demo.Run(ctx, o)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return 130 // what a shell reports of an interrupted program
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(os.Stderr, "demo:", strings.TrimSpace(line))
	}
	return 1
}

// ownTemporal forgets what the environment says of another Temporal, such as
// its namespace or key: the server is one of our own.
func ownTemporal() {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "TEMPORAL_") {
			_ = os.Unsetenv(name) // fails for malformed names only
		}
	}
	_ = os.Setenv("TEMPORAL_CONFIG_FILE", os.DevNull)
}
