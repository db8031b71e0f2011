package demo

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the consumer when the stage is killed without a chance to do it. It is tied to the
// thread that starts the process, to which the goroutine must be locked.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
