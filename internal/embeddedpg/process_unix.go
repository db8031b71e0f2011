//go:build unix

package embeddedpg

import (
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

// detach puts the child into a session of its own, where Ctrl-C in a terminal does not reach it: its parent decides
// when the server stops. As root it gives up root.
func detach(cmd *exec.Cmd, owner account) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(owner.uid), Gid: uint32(owner.gid)}
	}
}

func fileOwner(info fs.FileInfo) (uid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}

// alive reports whether the process exists, be it ours or another user's.
func alive(pid int) bool {
	if pid <= 0 {
		return false // to kill(2) these are groups of processes
	}
	err := syscall.Kill(pid, 0)
	return err == nil || err == syscall.EPERM
}
