package demo

import (
	"os/exec"
	"strings"
	"time"
)

// logTail is how much of a consumer's log is kept, in bytes.
const logTail = 8 << 10

// consumerProcess is one life of the consumer.
type consumerProcess struct {
	cmd    *exec.Cmd
	log    lastBytes     // complete once exited is closed
	exited chan struct{} // closed when the process is gone
}

// startConsumer starts one. The caller's goroutine must be locked to its thread.
func startConsumer(environ []string) (*consumerProcess, error) {
	cmd, err := self("run")
	if err != nil {
		return nil, err
	}
	p := &consumerProcess{cmd: cmd, exited: make(chan struct{})}
	cmd.Env = environ
	cmd.Stderr = &p.log
	cmd.WaitDelay = time.Second
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // cmd.ProcessState says it all
	}()
	return p, nil
}

func (p *consumerProcess) failure() error {
	return &ConsumerError{Code: p.cmd.ProcessState.ExitCode(), Log: p.log.String()}
}

// lastBytes is a writer that keeps the last logTail bytes.
type lastBytes []byte

func (l *lastBytes) Write(p []byte) (int, error) {
	*l = append(*l, p...)
	if excess := len(*l) - logTail; excess > 0 {
		*l = append((*l)[:0], (*l)[excess:]...)
	}
	return len(p), nil
}

// String returns what was kept, without blank lines around it.
func (l lastBytes) String() string { return strings.TrimSpace(string(l)) }
