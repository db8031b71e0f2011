package retry_test

import (
	"bytes"
	"log"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"pgwitness/internal/retry"
)

// Times of the script are those of the log: the clock is the bubble's, and begins at midnight.
func TestOutage(t *testing.T) {
	for _, c := range []struct {
		name   string
		script func(fail func(kind string), over func())
		want   []string
	}{
		{"one failure", func(fail func(string), over func()) {
			fail("refused")
			time.Sleep(1500 * time.Millisecond)
			over()
		}, []string{"00:00 ERROR fails kind=refused", "00:01 INFO works after=1.5s"}},
		{"the same for long", func(fail func(string), over func()) {
			for range 21 {
				fail("refused")
				time.Sleep(10 * time.Second)
			}
			over()
		}, []string{"00:00 ERROR fails kind=refused", "01:00 ERROR fails kind=refused repeated=5", "02:00 ERROR fails kind=refused repeated=5",
			"03:00 ERROR fails kind=refused repeated=5", "03:30 INFO works after=3m30s"}},
		{"another kind is told at once, and both no oftener for taking turns", func(fail func(string), over func()) {
			for range 4 {
				fail("refused")
				time.Sleep(10 * time.Second)
				fail("timeout")
				time.Sleep(10 * time.Second)
			}
			over()
		}, []string{"00:00 ERROR fails kind=refused", "00:10 ERROR fails kind=timeout", "01:00 ERROR fails kind=refused repeated=2",
			"01:10 ERROR fails kind=timeout repeated=2", "01:20 INFO works after=1m20s"}},
		{"what flaps is told once a minute", func(fail func(string), over func()) {
			for range 12 {
				fail("refused")
				time.Sleep(time.Second)
				over()
				time.Sleep(9 * time.Second)
			}
		}, []string{"00:00 ERROR fails kind=refused", "00:01 INFO works after=1s", "01:00 ERROR fails kind=refused repeated=5", "01:01 INFO works after=1s"}},
		{"an end is told only of what was told", func(_ func(string), over func()) { over() }, nil},
		{"a failure within the minute that stays is told when the minute is over", func(fail func(string), over func()) {
			fail("refused")
			over()
			for range 7 {
				time.Sleep(10 * time.Second)
				fail("refused")
			}
		}, []string{"00:00 ERROR fails kind=refused", "00:00 INFO works after=0s", "01:00 ERROR fails kind=refused repeated=5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var text bytes.Buffer
				o := retry.NewOutage(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{
					ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
						if a.Key == slog.TimeKey {
							a.Value = slog.StringValue(a.Value.Time().UTC().Format("04:05"))
						}
						return a
					},
				})))
				c.script(func(kind string) { o.Failed(slog.LevelError, kind, "fails", "kind", kind) }, func() { o.Over("works") })
				var got []string
				for line := range strings.Lines(text.String()) {
					got = append(got, strings.NewReplacer("time=", "", "level=", "", "msg=", "", "\n", "").Replace(line))
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("the log (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A library may write as many lines as it likes.
func TestOutageWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		outage := retry.NewOutage(slog.New(slog.NewTextHandler(&text, nil)))
		library := log.New(outage.Writer(slog.LevelWarn, "it complains"), "", 0)
		for range 70 {
			library.Print("http: TLS handshake error from 10.0.0.1: EOF")
			time.Sleep(time.Second)
		}
		want := `level=WARN msg="it complains" error="http: TLS handshake error from 10.0.0.1: EOF"`
		if got := text.String(); strings.Count(got, want+"\n") != 1 || strings.Count(got, want+" repeated=59\n") != 1 || strings.Count(got, "\n") != 2 {
			t.Errorf("the log is\n%s", got)
		}
	})
}
