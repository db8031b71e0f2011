package demo

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgwitness/internal/terminal"
)

func TestEventsOnScreen(t *testing.T) {
	line := eventLine(1, 1, "demo_web", "0/10", 0)
	lines := []byte(strings.Repeat(line, 100))

	var piped bytes.Buffer
	if err := newScreen(&piped, nil).events(lines); err != nil || !bytes.Equal(piped.Bytes(), lines) {
		t.Errorf("piped, events are not passed on as they are; error %v", err)
	}

	var shown bytes.Buffer
	s := &screen{out: terminal.Terminal{Writer: &shown, Columns: func() int { return 0 }}}
	if err := s.events(lines); err != nil {
		t.Fatal(err)
	}
	text := strings.Split(strings.TrimSuffix(shown.String(), "\n"), "\n")
	if len(text) != 41 || !strings.Contains(text[0], "… 60 more") || !strings.Contains(text[40], "demo_web") {
		t.Errorf("a flood is shown as %d lines:\n%s", len(text), &shown)
	}

	failure := errors.New("failure")
	if err := newScreen(failingWriter{failure}, nil).events(lines); !errors.Is(err, failure) {
		t.Errorf("error %v where standard output fails", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestProgress(t *testing.T) {
	tests := []struct {
		name    string
		columns func() int
		total   int64
		want    string
	}{
		{"terminal", func() int { return 80 }, 20e6, "\r" + indent + strings.Repeat("░", 24) + "    0 %  0.0 of 20.0 MB" +
			"\r" + indent + strings.Repeat("█", 24) + "  100 %  20.0 of 20.0 MB\n"},
		{"terminal, length unknown", func() int { return 80 }, -1, "\r" + indent + "0.0 MB"},
		{"file", nil, 20e6, indent + "fetching it\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var shown bytes.Buffer
			s := &screen{err: terminal.Terminal{Writer: &shown, Columns: test.columns}}
			s.progress(0, test.total)
			s.progress(10, test.total) // too soon to be drawn
			s.progress(20e6, test.total)
			got := shown.String()
			if test.total > 0 {
				var rest string
				got, rest, _ = strings.Cut(got, indent+"unpacking")
				if !strings.HasSuffix(rest, "\n") {
					t.Errorf("nothing says what follows: %q", shown.String())
				}
			}
			if got != test.want {
				t.Errorf("\n got: %q\nwant: %q", got, test.want)
			}
		})
	}
}

func TestSayEndsBar(t *testing.T) {
	var shown bytes.Buffer
	s := &screen{err: terminal.Terminal{Writer: &shown, Columns: func() int { return 80 }}}
	s.progress(1, 2)
	s.say("a")
	s.say("b")
	if !strings.HasSuffix(shown.String(), "MB\na\nb\n") {
		t.Errorf("got %q", shown.String())
	}
}

func TestSummaryColours(t *testing.T) {
	for _, lost := range []int{0, 1} {
		var shown bytes.Buffer
		c := newComparison()
		for i := range 3 + lost {
			c.row(fmt.Sprintf("%d-x", i+1))
		}
		if err := c.lines([]byte(eventLine(1, 1, "u", "0/10", 0) + eventLine(2, 2, "u", "0/20", 0) + eventLine(3, 3, "u", "0/30", 0))); err != nil {
			t.Fatal(err)
		}
		s := summary{comparison: c, open: 1e9, latency: new(latencies), consumer: &consumer{lived: 1e9}}
		s.show(&screen{err: terminal.Terminal{Writer: &shown, Columns: func() int { return 40 }, Colours: true}})
		want := map[int]string{0: terminal.Green, 1: terminal.Red}[lost] + fmt.Sprintf("%8d", lost) + terminal.Reset
		if !strings.Contains(shown.String(), "          lost  "+want) {
			t.Errorf("%d lost:\n%s", lost, &shown)
		}
	}
}
