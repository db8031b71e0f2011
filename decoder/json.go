package decoder

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// appendJSON appends the JSON that PostgreSQL's to_json makes of a value whose output text is given, and says whether
// the text was of that form.
func appendJSON(dst, text []byte, f format) ([]byte, bool) {
	switch f {
	case formatNumber:
		if isNumber(text) {
			return append(dst, text...), true
		}
	case formatBool:
		switch string(text) {
		case "t":
			return append(dst, "true"...), true
		case "f":
			return append(dst, "false"...), true
		}
		return dst, false
	case formatJSON:
		return appendRawJSON(dst, text)
	case formatTimestamp, formatTimestamptz:
		return appendTimestamp(dst, text, f == formatTimestamptz), utf8.Valid(text)
	}
	if !utf8.Valid(text) {
		return dst, false
	}
	return appendString(dst, text), true
}

// appendRawJSON passes json and jsonb through byte for byte: their numbers exceed float64 and their spelling is
// evidence. Only a line break, which a json (not a jsonb) value may have between its tokens and nowhere else, becomes a
// space: an event is one line.
func appendRawJSON(dst, text []byte) ([]byte, bool) {
	start := len(dst)
	dst = append(dst, text...)
	added := dst[start:]
	for _, lineBreak := range []byte{'\n', '\r'} {
		if bytes.IndexByte(added, lineBreak) >= 0 {
			for i, c := range added {
				if c == lineBreak {
					added[i] = ' '
				}
			}
		}
	}
	return dst, len(text) > 0 && utf8.Valid(text)
}

// appendTimestamp turns the ISO style of output into the XSD style of to_json: "2026-11-23 08:30:00+00" becomes
// "2026-11-23T08:30:00+00:00". Infinity has neither part; " BC" stays behind both.
func appendTimestamp(dst, text []byte, zone bool) []byte {
	date, clock, ok := bytes.Cut(text, []byte{' '})
	if !ok || slices.ContainsFunc(text, func(c byte) bool { return needsEscape[c] }) {
		return appendString(dst, text)
	}
	dst = append(append(append(append(dst, '"'), date...), 'T'), clock...)
	if zone {
		const bc = " BC"
		era := bytes.HasSuffix(clock, []byte(bc))
		if era {
			dst = dst[:len(dst)-len(bc)]
		}
		if n := len(dst); n >= 3 && dst[n-3] == '+' {
			dst = append(dst, ":00"...) // the session's TimeZone is UTC: the offset is always the two digits 00
		}
		if era {
			dst = append(dst, bc...)
		}
	}
	return append(dst, '"')
}

// needsEscape is the set of bytes that PostgreSQL's escape_json replaces.
var needsEscape = func() (set [256]bool) {
	for c := range 0x20 {
		set[c] = true
	}
	set['"'], set['\\'] = true, true
	return set
}()

// appendString appends s as a JSON string.
func appendString(dst, s []byte) []byte {
	return append(appendEscaped(append(dst, '"'), s), '"')
}

// appendEscaped appends what stands between the quotes of s as a JSON string, escaped as PostgreSQL's escape_json does it.
func appendEscaped(dst, s []byte) []byte {
	done := 0
	for i, c := range s {
		if !needsEscape[c] {
			continue
		}
		dst = append(dst, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			const digits = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xF])
		}
	}
	return append(dst, s[done:]...)
}

// isNumber says whether text is a number by the grammar of JSON.
func isNumber(text []byte) bool {
	i := 0
	digits := func() bool {
		start := i
		for i < len(text) && text[i] >= '0' && text[i] <= '9' {
			i++
		}
		return i > start
	}
	if i < len(text) && text[i] == '-' {
		i++
	}
	if i < len(text) && text[i] == '0' {
		i++
	} else if !digits() {
		return false
	}
	if i < len(text) && text[i] == '.' {
		i++
		if !digits() {
			return false
		}
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		i++
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == len(text)
}
