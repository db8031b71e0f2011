// Package terminal knows whether a person sees what is written, how wide the window is, and whether colours are wanted.
package terminal

import (
	"cmp"
	"io"
	"os"
	"runtime"

	"golang.org/x/term"
)

// The colours, in ANSI's escape sequences.
const (
	Reset  = "\x1b[0m"
	Bold   = "\x1b[1m"
	Red    = "\x1b[31m"
	Green  = "\x1b[32m"
	Yellow = "\x1b[33m"
	Gray   = "\x1b[90m"
)

// Terminal is where text is written.
type Terminal struct {
	io.Writer
	// Columns returns how many columns there are, 0 if that is not known. It is nil if a person does not see the text as it
	// is written.
	Columns func() int
	// Rows returns how many lines there are, 0 if that is not known. It is nil where Columns is.
	Rows func() int
	// Colours says whether escape sequences are wanted.
	Colours bool
}

// New finds out what w is. Colours are for a terminal that knows them, unless NO_COLOR is set.
func New(w io.Writer) Terminal {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return Terminal{Writer: w}
	}
	size := func() (columns, rows int) {
		columns, rows, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 0, 0
		}
		return columns, rows
	}
	ancient := runtime.GOOS == "windows" && os.Getenv("WT_SESSION") == "" // a console that may not know escape sequences
	return Terminal{
		Writer:  w,
		Columns: func() int { columns, _ := size(); return columns },
		Rows:    func() int { _, rows := size(); return rows },
		Colours: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && !ancient,
	}
}

// Width returns how many columns a line may have: otherwise, if a person does not see it. Some pseudo-terminals say 0 and
// mean that they do not know.
func (t Terminal) Width(otherwise int) int {
	const usual = 80
	if t.Columns == nil {
		return otherwise
	}
	return cmp.Or(t.Columns(), usual)
}

// Paint gives text a colour, if colours are wanted.
func (t Terminal) Paint(colour, text string) string {
	if !t.Colours || colour == "" {
		return text
	}
	return colour + text + Reset
}
