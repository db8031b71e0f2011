package embeddedpg

import (
	"os/exec"
	"syscall"
)

// dieWithChild has the kernel stop the server when the child is killed without a chance to do it. The signal is tied to
// the thread that starts the server, which is why RunChild locks the main goroutine to its thread.
func dieWithChild(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
}
