// Command bench measures throughput, latency and cost on servers of its own, and
// prints a table:
//
//	go run ./dev/cmd/bench [-only name,...] [-rounds 5] [-events 50000] [-quick] [-assert]
//
// It takes half an hour; -quick takes a few minutes.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/omnibox-go/omnibox/dev/bench"
	"github.com/omnibox-go/omnibox/dev/bench/lab"
)

func main() {
	if bench.IsLoad() {
		os.Exit(bench.Load(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(run())
}

func run() int {
	only := flag.String("only", "", "measure these variants and what they are compared with, separated by commas")
	rounds := flag.Int("rounds", 5, "measure each variant so often; the table has medians and the spread")
	events := flag.Int("events", 0, "events of each throughput run (default 50000, or 20000 with -quick)")
	quick := flag.Bool("quick", false, "smaller and shorter, with less certain figures")
	assert := flag.Bool("assert", false, "exit with 1 if a goal is missed")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	setup := bench.Full
	if *quick {
		setup = bench.Quick
	}
	setup.Events = cmp.Or(*events, setup.Events)
	missed, err := measure(ctx, setup, *only, *rounds)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	case *assert && missed:
		return 1
	}
	return 0
}

func measure(ctx context.Context, setup bench.Setup, only string, rounds int) (missed bool, err error) {
	variants, err := bench.Select(bench.All(), strings.FieldsFunc(only, func(r rune) bool { return r == ',' }))
	if err != nil {
		return false, err
	}
	fmt.Fprintln(os.Stderr, "starting Postgres and Kafka")
	if setup.Lab, err = lab.Open(ctx, os.Stderr); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, setup.Lab.Close(ctx)) }()
	machine, err := setup.Lab.Machine(ctx)
	if err != nil {
		return false, err
	}
	results, err := bench.Run(ctx, setup, variants, rounds, os.Stderr)
	fmt.Printf("\n%s\n\n", machine)
	results.WriteTable(os.Stdout)
	fmt.Println()
	for _, m := range results.Missed() {
		fmt.Println("missed:", m)
	}
	return len(results.Missed()) > 0, err
}
