//go:build !linux

package servers

import "syscall"

// dieWithParent does nothing where the kernel offers no such signal: a program
// that is killed leaves its servers behind.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
