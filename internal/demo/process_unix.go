//go:build unix

package demo

import (
	"os/exec"
	"syscall"
)

// terminate is how a process is asked to stop.
const terminate = syscall.SIGTERM

// detach puts the stage into a session of its own, where Ctrl-C in a terminal does not reach it and the consumer.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}
