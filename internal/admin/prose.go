package admin

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// textWidth is where prose is wrapped.
const textWidth = 100

// Comment writes text as an SQL comment, folded into lines. Names may hold line breaks; what follows one would be executed.
func Comment(b *strings.Builder, text string) { Wrap(b, "-- ", text) }

// Wrap writes text in lines of prefix and words, with every control character turned into a space.
func Wrap(b *strings.Builder, prefix, text string) {
	width := 0
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || unicode.IsControl(r) }) {
		switch {
		case width == 0:
			b.WriteString(prefix)
			width = len(prefix)
		case width+1+len(word) > textWidth:
			b.WriteString("\n" + prefix)
			width = len(prefix)
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	b.WriteByte('\n')
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
