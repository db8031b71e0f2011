package terminal

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Line is a line of columns that does not grow past its room. The zero Line has none.
type Line struct {
	// Room is how many columns are left.
	Room int
	// Colours says whether escape sequences are wanted.
	Colours bool

	text strings.Builder
}

// Add appends text, padded to columns, and two blanks before it. What has no room is cut off, and control characters are
// left out: what others wrote must not be able to steer the terminal.
func (l *Line) Add(colour, text string, columns int) {
	gap := 2
	if l.text.Len() == 0 {
		gap = 0
	}
	room := l.Room - gap
	if room < 1 {
		return
	}
	text, taken := Cut(text, room)
	l.text.WriteString(strings.Repeat(" ", gap))
	if l.Colours && colour != "" {
		l.text.WriteString(colour + text + Reset)
	} else {
		l.text.WriteString(text)
	}
	l.text.WriteString(strings.Repeat(" ", max(0, min(columns, room)-taken)))
	l.Room -= gap + max(taken, min(columns, room))
}

// String is the line so far, without an end.
func (l *Line) String() string { return strings.TrimRight(l.text.String(), " ") }

// Cut returns text without control characters, cut to as many columns with an ellipsis at its end, and the columns it takes.
func Cut(text string, columns int) (cut string, taken int) {
	var kept strings.Builder
	whole := 0 // bytes of kept before which an ellipsis has room
	wholeColumns := 0
	for _, r := range text {
		if r = visible(r); r < 0 {
			continue
		}
		n := runeColumns(r)
		if taken+n > columns {
			return kept.String()[:whole] + "…", wholeColumns + 1
		}
		kept.WriteRune(r)
		taken += n
		if taken < columns {
			whole, wholeColumns = kept.Len(), taken
		}
	}
	return kept.String(), taken
}

// Clean returns text without control characters, white space as blanks.
func Clean(text string) string { return strings.Map(visible, text) }

// visible turns white space into a blank and returns -1 for what would steer the terminal, or the order of the text.
func visible(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
		return -1
	}
	return r
}

// Width is how many columns text takes.
func Width(text string) (columns int) {
	for _, r := range text {
		columns += runeColumns(r)
	}
	return columns
}

func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
