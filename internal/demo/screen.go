package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"pgwitness/internal/eventline"
	"pgwitness/internal/terminal"
)

// unseen is the width for what nobody sees as it is written: none.
const unseen = 1 << 10

// screen is what a person, or a program, sees. Events go to standard output: readable lines to a terminal, the native
// format to anything else. Everything else goes to standard error.
type screen struct {
	out, err terminal.Terminal
	began    time.Time

	mu    sync.Mutex // guards writing to err, and what follows
	bar   bool       // the last line is a progress bar
	drawn time.Time  // when it was drawn last
}

func newScreen(stdout, stderr io.Writer) *screen {
	return &screen{out: terminal.New(stdout), err: terminal.New(stderr), began: time.Now()}
}

// step says what was done, and when.
func (s *screen) step(format string, args ...any) {
	s.say(s.err.Paint(terminal.Gray, fmt.Sprintf("%6.1f s", time.Since(s.began).Seconds())) + "  " + fmt.Sprintf(format, args...))
}

// say writes a line. Whoever does not read it misses that and no more.
func (s *screen) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endBar()
	fmt.Fprintln(s.err, text)
}

const (
	redraw   = 100 * time.Millisecond
	barWidth = 24
	indent   = "            " // as wide as the time of a step
)

// progress shows how much of PostgreSQL was fetched: with a bar on a terminal.
func (s *screen) progress(received, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := received == total
	defer func() {
		if done {
			s.endBar()
			fmt.Fprintln(s.err, indent+"unpacking it and making a first cluster, which takes some seconds once")
		}
	}()
	first := s.drawn.IsZero()
	if !first && !done && time.Since(s.drawn) < redraw {
		return
	}
	s.drawn = time.Now()
	if s.err.Columns == nil {
		if first {
			fmt.Fprintln(s.err, indent+"fetching it")
		}
		return
	}
	const mega = 1e6
	text := fmt.Sprintf("%.1f MB", float64(received)/mega)
	if total > 0 {
		full := int(barWidth * received / total)
		text = s.err.Paint(terminal.Green, strings.Repeat("█", full)) + strings.Repeat("░", barWidth-full) +
			fmt.Sprintf("  %3d %%  %.1f of %.1f MB", 100*received/total, float64(received)/mega, float64(total)/mega)
	}
	fmt.Fprint(s.err, "\r"+indent+text)
	s.bar = true
}

// endBar goes to the line after a progress bar. mu must be held.
func (s *screen) endBar() {
	if s.bar {
		fmt.Fprintln(s.err)
		s.bar = false
	}
}

// killed says that the consumer was killed once more.
func (s *screen) killed(times int) {
	s.step("%s", s.err.Paint(terminal.Red, fmt.Sprintf("the consumer was killed, %d× by now; it is started again", times)))
}

// events shows lines of the native format. It is for one goroutine, which a slow reader may keep waiting.
func (s *screen) events(lines []byte) error {
	if s.out.Columns == nil {
		_, err := s.out.Write(lines)
		return err
	}
	// More than can be read is not worth a slow terminal's time.
	const most = 40
	var shown bytes.Buffer
	skipped := bytes.Count(lines, []byte("\n")) - most
	if skipped > 0 {
		fmt.Fprintln(&shown, s.out.Paint(terminal.Gray, fmt.Sprintf(indent+"  … %d more", skipped)))
	}
	number := 0
	for line := range bytes.Lines(lines) {
		if number++; number <= skipped {
			continue
		}
		var e eventline.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("the consumer's file holds a line that is no event: %w", err)
		}
		fmt.Fprintln(&shown, e.Render(s.out.Width(unseen), s.out.Colours))
	}
	_, err := s.out.Write(shown.Bytes())
	return err
}
