// Package retry is the one policy by which pgwitness tries again: the connection to PostgreSQL, a sink that failed, the
// checkpoint that could not be written. It never gives up; what a person must mend is not given to it.
package retry

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// Initial is the mean of the first wait.
	Initial = 100 * time.Millisecond
	// Max is the mean of the longest wait.
	Max = 10 * time.Second
)

// Backoff is the state of one thing that is being tried again. It is not safe for concurrent use.
type Backoff struct{ exponential *backoff.ExponentialBackOff }

// New returns a Backoff that has not waited yet.
func New() *Backoff {
	b := &Backoff{exponential: backoff.NewExponentialBackOff()}
	b.exponential.InitialInterval = Initial
	b.exponential.MaxInterval = Max
	b.exponential.Multiplier = 2
	b.exponential.Reset()
	return b
}

// Succeeded makes the next wait a short one again.
func (b *Backoff) Succeeded() { b.exponential.Reset() }

// Next is how long to wait this time: doubling from Initial to Max, give or take half, so that many sidecars that lost
// the same server do not come back in step.
func (b *Backoff) Next() time.Duration { return b.exponential.NextBackOff() }

// Wait waits for Next, or until ctx is done, whose cause it then returns.
func (b *Backoff) Wait(ctx context.Context) error { return Pause(ctx, b.Next()) }

// Pause waits for wait, or until ctx is done, whose cause it then returns.
func Pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
