package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgwitness/internal/retry"
)

func TestWaitsGrowToTheirBound(t *testing.T) {
	b := retry.New()
	mean := retry.Initial
	for i := range 50 {
		if got := b.Next(); got < mean/2 || got > mean+mean/2 {
			t.Errorf("wait %d is %s, want %s give or take half", i+1, got, mean)
		}
		mean = min(2*mean, retry.Max)
	}
	b.Succeeded()
	if got := b.Next(); got > retry.Initial+retry.Initial/2 {
		t.Errorf("after a success the wait is %s", got)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := retry.New()
		for range 20 {
			b.Next()
		}
		why := errors.New("asked to stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		begun := time.Now()
		time.AfterFunc(time.Second, func() { cancel(why) })
		if err := b.Wait(ctx); !errors.Is(err, why) || time.Since(begun) != time.Second {
			t.Errorf("Wait returned %v after %s", err, time.Since(begun))
		}
		if err := b.Wait(t.Context()); err != nil {
			t.Errorf("Wait returned %v", err)
		}
	})
}
