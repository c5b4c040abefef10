package billing

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

// Variables that make a program the service: its configuration, and the topic of
// invoices.
const (
	fileVariable  = "OMNIBOX_DEMO_BILLING"
	topicVariable = "OMNIBOX_DEMO_INVOICES"
)

// Command runs a program that calls Main, as the service.
func Command(ctx context.Context, program, configFile, invoices string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), fileVariable+"="+configFile, topicVariable+"="+invoices)
	return cmd
}

// Main runs the service if this program was started by Command, until a signal
// ends it.
func Main(messages io.Writer) (code int, was bool) {
	file := os.Getenv(fileVariable)
	if file == "" {
		return 0, false
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, file, os.Getenv(topicVariable), slog.New(slog.NewTextHandler(messages, nil))); err != nil {
		fmt.Fprintln(messages, "billing:", err)
		return 1, true
	}
	return 0, true
}

func run(ctx context.Context, file, invoices string, log *slog.Logger) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// what the environment says is for the shop
	cfg, err := config.Parse(file, text, nil)
	if err != nil {
		return err
	}
	s := &service{outbox: store.Outbox{}, topic: invoices}
	route := routed(cfg.Inboxes[Inbox].Topics[0])
	return worker.Run(ctx, cfg, worker.Router(Inbox, s.router(route), route), worker.Log(log))
}
