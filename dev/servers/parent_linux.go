package servers

import "syscall"

// dieWithParent lets the kernel send sig to the process when the thread that
// forked it ends; see launch.
func dieWithParent(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }
