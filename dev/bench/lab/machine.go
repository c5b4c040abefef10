package lab

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Machine describes in a line what the figures are of.
func (l *Lab) Machine(ctx context.Context) (string, error) {
	conn, err := pgx.Connect(ctx, l.postgres.URL())
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var postgres string
	if err := conn.QueryRow(ctx, "show server_version").Scan(&postgres); err != nil {
		return "", err
	}
	postgres, _, _ = strings.Cut(postgres, " ")
	return fmt.Sprintf("%d cores (%s), %s/%s, %s, Postgres %s (fsync on), Apache Kafka %s (one broker, acks=all), pgx %s, sarama %s",
		runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH, runtime.Version(), postgres, l.kafkaVersion(),
		module("github.com/jackc/pgx/v5"), module("github.com/IBM/sarama")), nil
}

// kafkaVersion is what the broker says of itself in its log.
func (l *Lab) kafkaVersion() string {
	if l.kafka == nil {
		return "of unknown version"
	}
	return inFile(l.kafka.LogFile(), "Kafka version: ", "of unknown version")
}

// processor names the CPU; Linux tells.
func processor() string {
	return inFile("/proc/cpuinfo", "model name\t: ", "unknown CPU")
}

// inFile is what comes behind the first occurrence of a label in a file.
func inFile(path, label, otherwise string) string {
	f, err := os.Open(path)
	if err != nil {
		return otherwise
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if _, value, ok := strings.Cut(lines.Text(), label); ok {
			value, _, _ = strings.Cut(strings.TrimSpace(value), " (")
			return value
		}
	}
	return otherwise
}

// module is the version of a dependency.
func module(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return "unknown"
}
