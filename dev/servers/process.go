package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// ErrExternal is returned by methods that would stop or restart a server which
// this program did not start.
var ErrExternal = errors.New("server was not started here")

const (
	// stopGrace is how long a server may take to stop before it is killed. Kafka
	// is the slowest, with up to ten seconds on a loaded machine.
	stopGrace = 30 * time.Second
	// startLimit bounds the wait for readiness. Two cores shared with a build can
	// make a JVM take half a minute.
	startLimit = 120 * time.Second
	// probePause is the time between two looks at a server that is starting.
	probePause = 50 * time.Millisecond
)

// Process is a server process which can be stopped, killed and started again on
// the same port and the same files. Its methods are safe for concurrent use.
type Process struct {
	name    string
	dir     string
	ownDir  bool
	command func(ctx context.Context) (*exec.Cmd, error)
	ready   func(ctx context.Context) error
	stopSig syscall.Signal // asks for an orderly, fast stop
	deadSig syscall.Signal // sent by the kernel when this program dies
	onKill  func(pid int)  // kills what SIGKILL of the process would leave behind

	mu  sync.Mutex
	run *running
}

// running is one life of a process.
type running struct {
	pid  int
	done chan struct{} // closed when the process has been reaped
	err  error         // result of Wait; read after done
}

// external reports whether the server belongs to somebody else.
func (p *Process) external() bool { return p.command == nil }

// Dir is the work directory: data, configuration and logs.
func (p *Process) Dir() string { return p.dir }

// LogFile is the file that holds the output of all lives of the process.
func (p *Process) LogFile() string { return filepath.Join(p.dir, p.name+".log") }

// Pid is the process id, or 0 while the server is stopped.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return 0
	}
	return p.run.pid
}

// Start starts a server that is not running and waits until it answers. A server
// that runs already is left as it is.
func (p *Process) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.start(ctx)
}

func (p *Process) start(ctx context.Context) error {
	if p.external() || p.alive() {
		return nil
	}
	cmd, err := p.command(context.WithoutCancel(ctx))
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	if p.run, err = launch(cmd, p.LogFile(), p.deadSig); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	if err := p.awaitReady(ctx); err != nil {
		p.kill()
		return fmt.Errorf("start %s: %w\n%s", p.name, err, tail(p.LogFile()))
	}
	return nil
}

func (p *Process) alive() bool {
	if p.run == nil {
		return false
	}
	select {
	case <-p.run.done:
		p.run = nil
		return false
	default:
		return true
	}
}

func (p *Process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, errors.New("not ready in time"))
	defer cancel()
	tick := time.NewTicker(probePause)
	defer tick.Stop()
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.run.done:
			return fmt.Errorf("process ended: %w", cmpErr(p.run.err))
		case <-ctx.Done():
			return fmt.Errorf("%w, last: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// Stop asks the server to stop and waits until it has. When ctx ends or half a
// minute has passed, the server is killed.
func (p *Process) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stop(ctx.Done())
}

func (p *Process) stop(hurry <-chan struct{}) error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.run.pid, p.stopSig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-p.run.done:
		p.run = nil
	case <-hurry:
		p.kill()
	case <-grace.C:
		p.kill()
		return fmt.Errorf("stop %s: killed after %s", p.name, stopGrace)
	}
	return nil
}

// Kill crashes the server: SIGKILL, no warning. Start starts it again.
func (p *Process) Kill() error {
	if p.external() {
		return ErrExternal
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kill()
	return nil
}

func (p *Process) kill() {
	if !p.alive() {
		return
	}
	if p.onKill != nil {
		p.onKill(p.run.pid)
	} else {
		_ = syscall.Kill(p.run.pid, syscall.SIGKILL)
	}
	<-p.run.done
	p.run = nil
}

// Restart stops the server in order and starts it again on the same port and
// files.
func (p *Process) Restart(ctx context.Context) error {
	if p.external() {
		return ErrExternal
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.stop(ctx.Done()); err != nil {
		return err
	}
	return p.start(ctx)
}

// Close stops the server, and removes the work directory if the server was
// started without one.
func (p *Process) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.stop(nil)
	if p.ownDir {
		err = errors.Join(err, os.RemoveAll(p.dir))
	}
	return err
}

// launch starts cmd from a goroutine that owns its OS thread until the process
// has ended. The parent-death signal is bound to the *thread* that forked:
//
//  1. a goroutine forks on thread T and goes on
//  2. the runtime retires T, because another locked goroutine ended on it
//  3. the kernel kills the server, although the program is well
//
// So the thread must not end before the server does.
func launch(cmd *exec.Cmd, logFile string, deadSig syscall.Signal) (*running, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A group of its own: Ctrl-C in a terminal must not reach the server before
	// the program has decided to stop it.
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr, deadSig)

	r := &running{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		err := cmd.Start()
		out.Close()
		if err == nil {
			r.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			r.err = cmd.Wait()
			close(r.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return r, nil
}

// tail returns the last lines of a log, for error messages.
func tail(file string) []byte {
	const most = 2000
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return bytes.TrimSpace(b[max(0, len(b)-most):])
}

// workDir returns dir, created, or a new temporary directory if dir is empty.
func workDir(dir, name string) (path string, own bool, err error) {
	if dir == "" {
		path, err = os.MkdirTemp("", "omnibox-"+name+"-")
		return path, true, err
	}
	if path, err = filepath.Abs(dir); err != nil {
		return "", false, err
	}
	return path, false, os.MkdirAll(path, 0o755)
}
