package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// peakRSS returns the most bytes that a running process has had resident, 0 if it has gone. The ru_maxrss of a child that
// ended will not do: exec leaves in it what the parent held, in whose memory the child began.
func peakRSS(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	line, _, _ := bytes.Cut(rest, []byte(" kB"))
	kilobytes, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	if err != nil {
		return 0 // a process that is ending has no memory any more
	}
	return kilobytes << 10
}

// syncData is what the file sink calls.
func syncData(file *os.File) error { return unix.Fdatasync(int(file.Fd())) }
