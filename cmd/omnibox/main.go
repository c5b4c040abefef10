// Command omnibox migrates databases, relays outboxes, and looks after what
// could not be delivered. Run omnibox --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/mattn/go-isatty"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	code := run(ctx, &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, interactive: isatty.IsTerminal(os.Stdin.Fd()),
	}, os.Args[1:])
	stop()
	os.Exit(code)
}
