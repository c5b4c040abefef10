// Package devtest gives tests real servers: one of each for a test process,
// started when the first test asks, and stopped by [Main].
//
// "make test" starts them once for all packages and says where they are in
// OMNIBOX_TEST_DATABASE_URL, OMNIBOX_TEST_TEMPORAL_ADDRESS and
// OMNIBOX_TEST_KAFKA_BROKERS. A test that breaks a server starts one of its own
// with [StartPostgres], [StartTemporal] or [StartKafka].
//
// Everything here is safe in parallel tests.
package devtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// Variables that say where shared servers are.
const (
	EnvDatabaseURL     = "OMNIBOX_TEST_DATABASE_URL"
	EnvTemporalAddress = "OMNIBOX_TEST_TEMPORAL_ADDRESS"
	EnvKafkaBrokers    = "OMNIBOX_TEST_KAFKA_BROKERS"
)

// Main runs the tests of a package, stops the servers that they shared, and looks
// for goroutines that a test has left behind. Call it from TestMain.
func Main(m *testing.M, ignore ...goleak.Option) {
	code := m.Run()
	if err := closeShared(); err != nil {
		fmt.Fprintln(os.Stderr, "devtest:", err)
		code = max(code, 1)
	}
	// sarama's metrics have one goroutine for the life of the program.
	ignore = append(ignore, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
	if code == 0 {
		if err := goleak.Find(ignore...); err != nil {
			fmt.Fprintln(os.Stderr, "devtest: goroutines left behind:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// closers are run by Main, the last one first.
var closers = struct {
	sync.Mutex
	list []io.Closer
}{}

func closeLater(c io.Closer) {
	closers.Lock()
	defer closers.Unlock()
	closers.list = append(closers.list, c)
}

func closeShared() error {
	closers.Lock()
	defer closers.Unlock()
	var errs []error
	for _, c := range slices.Backward(closers.list) {
		errs = append(errs, c.Close())
	}
	closers.list = nil
	return errors.Join(errs...)
}

// shared is a server that the first test starts for all.
type shared[T io.Closer] struct {
	once   sync.Once
	server T
	err    error
}

func (s *shared[T]) get(tb testing.TB, start func(context.Context) (T, error)) T {
	tb.Helper()
	s.once.Do(func() {
		// The server outlives the test that happened to be first.
		if s.server, s.err = start(context.WithoutCancel(tb.Context())); s.err == nil {
			closeLater(s.server)
		}
	})
	if s.err != nil {
		tb.Fatal(s.err)
	}
	return s.server
}

// own registers the end of a server that belongs to one test.
func own[T io.Closer](tb testing.TB, server T, err error) T {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Error(err)
		}
	})
	return server
}
