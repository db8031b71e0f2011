//go:build failpoints

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// Enabled says whether this binary was built with failpoints.
const Enabled = true

// target and countdown are set once, before main, from PGWITNESS_FAILPOINT: "file.after-write:17" is the 17th time that
// file.after-write is reached; without a number, the first.
var (
	target    string
	countdown atomic.Int64
)

func init() {
	name, count, _ := strings.Cut(os.Getenv("PGWITNESS_FAILPOINT"), ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		n = 1
	}
	target = name
	countdown.Store(n)
}

// Hit kills the process, as by SIGKILL, when name is the armed failpoint and its turn has come. Nothing deferred runs
// and no buffer is flushed: that is the point.
func Hit(name string) {
	if name != target || countdown.Add(-1) != 0 {
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}
