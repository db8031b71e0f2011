package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

const (
	killEvery = time.Second
	// consumerGrace bounds the consumer's stop; by itself it takes no longer than its shutdown_grace.
	consumerGrace = 15 * time.Second
)

// ConsumerError says that the consumer ended by itself.
type ConsumerError struct {
	// Code is its exit code, or -1 where a signal ended it.
	Code int
	// Log is the end of what it wrote to standard error.
	Log string
}

// Error gives the code.
func (e *ConsumerError) Error() string {
	return fmt.Sprintf("the consumer, pgwitness run, ended with exit code %d; what it said is above", e.Code)
}

// consumer is a `pgwitness run` that is started again whenever it was killed.
type consumer struct {
	environ []string
	kill    bool            // at each killEvery
	killed  func(times int) // is told each time

	calm  chan struct{} // closed when it is not to be killed any more
	stop  chan struct{} // closed when it is to end
	ended chan struct{} // closed when it has

	// What it took, over all its lives. Written by run.
	kills  int
	lived  time.Duration
	cpu    time.Duration
	memory int64 // at its peak, in bytes; 0 where the system does not tell

	log string // the end of its last life's, written by run
}

func newConsumer(environ []string, kill bool, killed func(times int)) *consumer {
	return &consumer{environ: environ, kill: kill, killed: killed,
		calm: make(chan struct{}), stop: make(chan struct{}), ended: make(chan struct{})}
}

// run returns nil when the consumer has ended after stop was closed, an error when it ended by itself, and when ctx ends.
// In any case it has ended then.
func (c *consumer) run(ctx context.Context) error {
	defer close(c.ended)
	runtime.LockOSThread() // for dieWithParent
	defer runtime.UnlockOSThread()
	defer func(began time.Time) { c.lived = time.Since(began) }(time.Now())
	calm := c.calm
	var kills <-chan time.Time
	if c.kill {
		ticker := time.NewTicker(killEvery)
		defer ticker.Stop()
		kills = ticker.C
	}
	for {
		process, err := startConsumer(c.environ)
		if err != nil {
			return fmt.Errorf("start pgwitness run: %w", err)
		}
		for alive := true; alive; {
			select {
			case <-kills:
				_ = c.end(process, os.Kill) // it is gone one way or the other
				c.kills++
				c.killed(c.kills)
				alive = false
			case <-calm:
				kills, calm = nil, nil
			case <-c.stop:
				return c.end(process, terminate)
			case <-ctx.Done():
				_ = c.end(process, os.Kill) // the cause tells more
				return context.Cause(ctx)
			case <-process.exited:
				return process.failure()
			}
		}
	}
}

// end sends sig, waits until the process is gone, and adds up what it took.
func (c *consumer) end(process *consumerProcess, sig os.Signal) error {
	c.memory = max(c.memory, peakMemory(process.cmd.Process.Pid))
	if err := process.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var late error
	select {
	case <-process.exited:
	case <-time.After(consumerGrace):
		late = errors.New("the consumer, pgwitness run, did not stop when asked to, and was killed")
		_ = process.cmd.Process.Kill() // fails only when it has ended
		<-process.exited
	}
	c.log = process.log.String()
	state := process.cmd.ProcessState
	c.cpu += state.UserTime() + state.SystemTime()
	if sig != os.Kill && !state.Success() {
		return errors.Join(late, process.failure())
	}
	return late
}

// peakMemory returns the most memory that a process had resident, in bytes, and 0 where that cannot be read. The kernel's
// own account of a process that has ended would begin with its parent's memory, which it shared when it was forked.
func peakMemory(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, line, _ := strings.Cut(string(status), "\nVmHWM:")
	var kilobytes int64
	_, _ = fmt.Sscan(line, &kilobytes)
	return kilobytes << 10
}
