package lab

import (
	"math"
	"syscall"
	"time"
)

// Usage is CPU time in seconds. Postgres' is NaN where the system does not tell.
type Usage struct {
	Self, Postgres float64
}

// Usage is what was used so far, by this program and by all processes of Postgres.
func (l *Lab) Usage() Usage {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return Usage{Self: math.NaN(), Postgres: math.NaN()}
	}
	used := time.Duration(self.Utime.Nano() + self.Stime.Nano())
	return Usage{Self: used.Seconds(), Postgres: processTree(l.postgres.Pid())}
}

// Since is what was used between before and u.
func (u Usage) Since(before Usage) Usage {
	return Usage{Self: u.Self - before.Self, Postgres: u.Postgres - before.Postgres}
}

// ProcessCPU is the CPU time of one process in seconds, such as that of one
// session of Postgres; NaN where the system does not tell.
func ProcessCPU(pid int) float64 { return process(pid) }
