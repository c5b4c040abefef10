package servers

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// killTree kills a process and its children at once. Postgres puts each backend
// into a session of its own, so a process group does not reach them; without
// this, backends of a killed postmaster finish the statement they are at.
//
//  1. we list the children
//  2. the postmaster forks another one
//  3. we kill those of the list; the new one lives on
//
// So the parent is stopped before the list is made.
func killTree(pid int) {
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	family := children(pid)
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for _, child := range family {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	// Shared memory is in use until the last of them is gone, and a server does
	// not start on a data directory with shared memory in use.
	deadline := time.Now().Add(5 * time.Second)
	for _, child := range family {
		for syscall.Kill(child, 0) == nil && !zombie(child) && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// children lists the direct children of a process.
func children(parent int) []int {
	var pids []int
	for _, row := range processTable() {
		if row.parent == parent {
			pids = append(pids, row.pid)
		}
	}
	return pids
}

func zombie(pid int) bool {
	for _, row := range processTable() {
		if row.pid == pid {
			return row.state[0] == 'Z'
		}
	}
	return true // gone
}

type processRow struct {
	pid, parent int
	state       string
}

// processTable asks ps, which every Unix has.
func processTable() []processRow {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ps", "-A", "-o", "pid=,ppid=,state=").Output()
	if err != nil {
		return nil
	}
	var rows []processRow
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		var r processRow
		if n, _ := fmt.Sscan(s.Text(), &r.pid, &r.parent, &r.state); n == 3 {
			rows = append(rows, r)
		}
	}
	return rows
}
