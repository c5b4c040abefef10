package servers

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
)

// ProgramOptions says how to start a program of our own.
type ProgramOptions struct {
	// Name of the log file in Dir. Required.
	Name string
	// Dir is the work directory. Defaults to a temporary directory.
	Dir string
	// Command makes the command of each life. Required.
	Command func(ctx context.Context) *exec.Cmd
}

// StartProgram starts a program of which nothing is known but that it ends in
// order on SIGTERM. Unlike with servers, it does not wait for anything.
func StartProgram(ctx context.Context, o ProgramOptions) (*Process, error) {
	dir, own, err := workDir(o.Dir, o.Name)
	if err != nil {
		return nil, err
	}
	p := &Process{
		name: o.Name, dir: dir, ownDir: own, stopSig: syscall.SIGTERM, deadSig: syscall.SIGKILL,
		command: func(ctx context.Context) (*exec.Cmd, error) { return o.Command(ctx), nil },
		ready:   func(context.Context) error { return nil },
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive()
}

// Pause stops the process in its tracks (SIGSTOP), as a machine that swaps or a
// suspended virtual one does. Resume lets it go on.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(sig syscall.Signal) error {
	if p.external() {
		return ErrExternal
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive() {
		return errors.New(p.name + " is not running")
	}
	return syscall.Kill(p.run.pid, sig)
}
