//go:build !linux

package embeddedpg

import "os/exec"

// dieWithChild does nothing: only Linux can tie the life of a process to its parent's.
func dieWithChild(*exec.Cmd) {}
