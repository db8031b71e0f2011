package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"pgwitness/internal/pipeline"
	"pgwitness/internal/replication"
)

// tenure is the time from one examination of slot and server to the moment when what it found is overtaken.
type tenure struct {
	stream   *replication.Stream
	pipeline *pipeline.Pipeline
}

// follower runs a pipeline, and a new one whenever another process has gone on with the slot or the server is on another
// timeline. It begins as a new process would, with the checkpoint and the sinks' positions as they are then, and stands by if
// there is somebody to stand by for; metrics and listener stay.
type follower struct {
	log    *slog.Logger
	next   func(resumed bool) (*tenure, error)
	tenure atomic.Pointer[tenure] // the current one
}

// newFollower returns a follower in its first tenure, which has not begun to run.
func newFollower(log *slog.Logger, next func(resumed bool) (*tenure, error)) (*follower, error) {
	f := &follower{log: log, next: next}
	return f, f.begin(false)
}

func (f *follower) begin(resumed bool) error {
	t, err := f.next(resumed)
	if err == nil {
		f.tenure.Store(t)
	}
	return err
}

// Run follows the slot until ctx is done or something ends it that needs a person.
func (f *follower) Run(ctx context.Context) error {
	for {
		err := f.tenure.Load().pipeline.Run(ctx)
		if ctx.Err() != nil && errors.Is(err, replication.ErrStale) {
			err = nil
		}
		if err == nil {
			f.log.Info("stopped", "confirmed", f.tenure.Load().stream.Confirmed())
		}
		if !errors.Is(err, replication.ErrStale) {
			return err
		}
		f.log.Warn("what was known of slot and server has been overtaken: beginning anew", "error", err)
		if err := f.begin(true); err != nil {
			return fmt.Errorf("beginning anew: %w", err)
		}
	}
}

// Sinks is the state of each sink.
func (f *follower) Sinks() []pipeline.SinkState { return f.tenure.Load().pipeline.Sinks() }

// Buffered is how much of the buffer is in use, and how much may be.
func (f *follower) Buffered() (size, limit int) { return f.tenure.Load().stream.Buffered() }
