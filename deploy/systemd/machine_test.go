//go:build linux && systemd

package systemd_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgwitness/internal/witnesstest"
)

// machine is a systemd of its own, on a copy of this machine's files; see testdata/boot.sh.
type machine struct {
	pid int // of its process 1
}

// boot starts a machine for the length of a test.
func boot(t *testing.T) machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("only root can boot another systemd")
	}
	mounts, err := exec.Command("findmnt", "--noheadings", "--types", "cgroup2", "--output", "TARGET").Output()
	if err != nil {
		t.Fatalf("there is no cgroup2: %v", err)
	}
	hierarchy, _, _ := strings.Cut(string(mounts), "\n")
	group := filepath.Join(hierarchy, "pgwitness-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	fd, err := os.Open(group)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	cmd := exec.Command("unshare", "--cgroup", "testdata/boot.sh", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		UseCgroupFD: true, CgroupFD: int(fd.Fd()),
		Pdeathsig: syscall.SIGKILL,
	}
	var console strings.Builder
	cmd.Stdout, cmd.Stderr = &console, &console
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with process 1 all others
		_ = cmd.Wait()
		if !witnesstest.Poll(10*time.Second, func() bool { return remove(group) == nil }) {
			t.Errorf("%s is left", group)
		}
		if t.Failed() {
			t.Logf("the console said:\n%s", &console)
		}
	})
	m := machine{cmd.Process.Pid}
	if !witnesstest.Poll(30*time.Second, func() bool {
		state, _ := m.command("systemctl", "is-system-running").Output()
		return strings.HasPrefix(string(state), "running") || strings.HasPrefix(string(state), "degraded")
	}) {
		t.Fatal("systemd does not come up")
	}
	return m
}

// remove removes a cgroup and those in it, which must be empty.
func remove(group string) error {
	var groups []string
	err := filepath.WalkDir(group, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return err
	})
	for _, path := range slices.Backward(groups) {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func (m machine) command(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--all", "--target", strconv.Itoa(m.pid)}, args...)...)
}

// do runs a command in the machine, which must succeed.
func (m machine) do(t *testing.T, args ...string) string {
	t.Helper()
	out, err := m.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s\n%s", strings.Join(args, " "), err, out, m.journal())
	}
	return strings.TrimSpace(string(out))
}

func (m machine) journal() string {
	journal, _ := m.command("journalctl", "--no-pager", "--lines=30").CombinedOutput()
	return string(journal)
}

// path is where this machine sees one of that machine's.
func (m machine) path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(m.pid), "root", name)
}

// write makes a file that only root reads, and its directory.
func (m machine) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// configure adds a drop-in to a unit.
func (m machine) configure(t *testing.T, unit, content string) {
	t.Helper()
	m.write(t, "/etc/systemd/system/"+unit+".d/test.conf", content)
	m.do(t, "systemctl", "daemon-reload")
}

// property is one of a unit's.
func (m machine) property(t *testing.T, unit, name string) string {
	t.Helper()
	return m.do(t, "systemctl", "show", "--value", "--property", name, unit)
}

// await waits until a property of pgwitness.service has a value that begins with want.
func (m machine) await(t *testing.T, property, want string) {
	t.Helper()
	var got string
	if !witnesstest.Poll(30*time.Second, func() bool {
		got = m.property(t, unit, property)
		return strings.HasPrefix(got, want)
	}) {
		t.Fatalf("%s of %s is %q, want %q\n%s", property, unit, got, want, m.journal())
	}
}
