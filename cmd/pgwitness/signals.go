package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// notifySignals returns a context that the first SIGINT or SIGTERM cancels, the cause saying which. A second one calls
// exit with 128 and its number: whatever hangs, a person at a terminal gets out. stop ends the watch.
func notifySignals(parent context.Context, exit func(code int)) (ctx context.Context, stop func()) {
	received := make(chan os.Signal, 2)
	signal.Notify(received, os.Interrupt, syscall.SIGTERM)
	ctx, stopWatching := watchSignals(parent, received, exit)
	return ctx, func() {
		signal.Stop(received)
		stopWatching()
	}
}

func watchSignals(parent context.Context, received <-chan os.Signal, exit func(code int)) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	done, joined := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(joined)
		for count := 1; ; count++ {
			select {
			case sig := <-received:
				if count > 1 {
					exit(signalCode(sig))
					return
				}
				cancel(fmt.Errorf("asked to stop by %v", sig))
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		close(done)
		<-joined
		cancel(nil)
	}
}

func signalCode(sig os.Signal) int {
	if number, ok := sig.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return exitFailed
}
