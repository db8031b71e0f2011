package demo

import (
	"os"
	"os/exec"
	"syscall"
)

// terminate is SIGKILL: Windows knows no way to ask a process without a window to stop.
var terminate = os.Kill

// detach puts the stage into a group of its own, where Ctrl-C in a terminal does not reach it and the consumer.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
