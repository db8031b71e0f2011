package admin

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// textWidth is where prose is wrapped.
const textWidth = 100

// Comment writes text as an SQL comment, folded into lines. Names may hold line breaks; what follows one would be executed.
func Comment(b *strings.Builder, text string) { Wrap(b, "-- ", text) }

// Wrap writes text in lines of prefix and words.
func Wrap(b *strings.Builder, prefix, text string) {
	for _, line := range Lines(text, textWidth-len(prefix)) {
		b.WriteString(prefix + line + "\n")
	}
}

// Lines folds text into lines of at most width columns, with every control character turned into a space. A word that is
// longer has a line of its own; a text without words is one empty line.
func Lines(text string, width int) []string {
	var lines []string
	line, room := "", 0
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		n := utf8.RuneCountInString(word)
		if line != "" && n+1 > room {
			lines = append(lines, line)
			line = ""
		}
		if line == "" {
			line, room = word, width-n
		} else {
			line += " " + word
			room -= n + 1
		}
	}
	return append(lines, line)
}

// SetLockTimeout is the statement that sets lock_timeout, without a semicolon.
func SetLockTimeout(timeout time.Duration) string {
	if timeout%time.Second == 0 {
		return fmt.Sprintf("SET lock_timeout = '%ds'", timeout/time.Second)
	}
	return fmt.Sprintf("SET lock_timeout = '%dms'", max(timeout, time.Millisecond).Milliseconds())
}

var plainArgument = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// QuoteShell quotes an argument where a shell would not take it as it stands.
func QuoteShell(arg string) string {
	if plainArgument.MatchString(arg) {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
