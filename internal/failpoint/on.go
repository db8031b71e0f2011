//go:build failpoints

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Enabled says whether this binary was built with failpoints.
const Enabled = true

// target, countdown and linger are set once, before main, from PGWITNESS_FAILPOINT: "file.after-write:17" is the 17th time
// that file.after-write is reached; without a number, the first. With a duration, as in "file.after-write:17:500ms", the
// goroutine stays there for that long before the process is killed, so that the others get as far as they can without it.
var (
	target    string
	countdown atomic.Int64
	linger    time.Duration
)

func init() {
	name, rest, _ := strings.Cut(os.Getenv("PGWITNESS_FAILPOINT"), ":")
	count, duration, _ := strings.Cut(rest, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		n = 1
	}
	target = name
	countdown.Store(n)
	linger, _ = time.ParseDuration(duration) // 0 where there is none
}

// Hit kills the process, as by SIGKILL, when name is the armed failpoint and its turn has come. Nothing deferred runs
// and no buffer is flushed: that is the point.
func Hit(name string) {
	if name != target || countdown.Add(-1) != 0 {
		return
	}
	time.Sleep(linger)
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}
