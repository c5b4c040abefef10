// Command stack starts the servers that tests share, runs a command that finds
// them in its environment, and stops them:
//
//	stack -postgres -temporal -- go test ./...
//
// It ends with the command's exit code. Without a command it prints the variables
// and runs until it is interrupted. A server whose variable is set already is not
// started.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/mattn/go-isatty"

	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
)

func main() { os.Exit(run()) }

func run() int {
	postgres := flag.Bool("postgres", false, "start Postgres, set "+devtest.EnvDatabaseURL)
	temporal := flag.Bool("temporal", false, "start a Temporal dev server, set "+devtest.EnvTemporalAddress)
	kafka := flag.Bool("kafka", false, "start Apache Kafka, set "+devtest.EnvKafkaBrokers)
	flag.Parse()

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var s stack
	started := make(chan error, 1)
	go func() { started <- s.start(ctx, *postgres, *temporal, *kafka) }()
	select {
	case err := <-started:
		if err != nil {
			fmt.Fprintln(os.Stderr, "stack:", err)
			return s.stop(1)
		}
	case sig := <-signals:
		cancel()
		if err := <-started; err != nil {
			fmt.Fprintln(os.Stderr, "stack:", err)
		}
		return s.stop(exitCode(sig))
	}
	if flag.NArg() == 0 {
		fmt.Println(strings.Join(s.env, "\n"))
		<-signals
		return s.stop(0)
	}
	return s.stop(s.command(flag.Args(), signals))
}

// stack is what runs, and the variables that say where.
type stack struct {
	env     []string
	running []io.Closer
}

func (s *stack) start(ctx context.Context, postgres, temporal, kafka bool) error {
	if postgres && os.Getenv(devtest.EnvDatabaseURL) == "" {
		p, err := servers.StartPostgres(ctx, servers.PostgresOptions{Progress: os.Stderr})
		if err != nil {
			return err
		}
		s.add(p, devtest.EnvDatabaseURL, p.URL())
	}
	if temporal && os.Getenv(devtest.EnvTemporalAddress) == "" {
		t, err := servers.StartTemporal(ctx, servers.TemporalOptions{
			DBFile: "-", DynamicConfig: servers.TemporalLoad(), Progress: os.Stderr,
		})
		if err != nil {
			return err
		}
		s.add(t, devtest.EnvTemporalAddress, t.Address())
	}
	if kafka && os.Getenv(devtest.EnvKafkaBrokers) == "" {
		k, err := servers.StartKafka(ctx, servers.KafkaOptions{Progress: os.Stderr})
		if err != nil {
			return err
		}
		s.add(k, devtest.EnvKafkaBrokers, strings.Join(k.Brokers(), ","))
	}
	return nil
}

func (s *stack) add(c io.Closer, variable, value string) {
	s.running = append(s.running, c)
	s.env = append(s.env, variable+"="+value)
}

// stop stops what runs, the last first, and returns code.
func (s *stack) stop(code int) int {
	for _, c := range slices.Backward(s.running) {
		if err := c.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "stack:", err)
			code = max(code, 1)
		}
	}
	return code
}

// command runs a command to its end, with our signals. A terminal sends its
// interrupt to the whole foreground group, so the command has that one already.
func (s *stack) command(args []string, signals <-chan os.Signal) int {
	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), s.env...)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		return 127
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			if sig != os.Interrupt || !isatty.IsTerminal(os.Stdin.Fd()) {
				_ = cmd.Process.Signal(sig) // it may have ended
			}
		case err := <-ended:
			return resultCode(err)
		}
	}
}

func resultCode(err error) int {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return 0
	case !ok:
		fmt.Fprintln(os.Stderr, "stack:", err)
		return 1
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitCode(status.Signal())
	}
	return exit.ExitCode()
}

// exitCode is what a shell reports for a program that a signal has ended.
func exitCode(sig os.Signal) int {
	if s, ok := sig.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return 1
}
