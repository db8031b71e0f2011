package crashtest

import (
	"bytes"
	"errors"
	"fmt"
)

// output takes the standard output of one process. Nobody can tell what earlier processes wrote there, but the events of
// one process must come once and in order, however often its connection was lost.
type output struct {
	rest  []byte
	lines int
	last  row
	err   error
}

// Write implements io.Writer. It is called by one goroutine, which has ended when the process is waited for.
func (o *output) Write(p []byte) (int, error) {
	o.rest = append(o.rest, p...)
	for o.err == nil {
		line, rest, ok := bytes.Cut(o.rest, []byte("\n"))
		if !ok {
			break
		}
		next, err := parseLine(line)
		if err == nil && o.lines > 0 && (next.lsn < o.last.lsn || next.lsn == o.last.lsn && next.seq <= o.last.seq) {
			err = errors.New("again, or out of order")
		}
		if err != nil {
			o.err = fmt.Errorf("standard output: line %d: %w: %v came after %v: %.200s", o.lines+1, err, next, o.last, line)
		}
		o.rest, o.last = rest, next
		o.lines++
	}
	return len(p), nil
}
