package decoder

import "bytes"

// largestEmpty bounds the row_data that saysNothing looks through. The nulls of a row are never long.
const largestEmpty = 4 << 10

// saysNothing says whether rowData is a JSON object of nulls and nothing else, apart from what it says of the event's type:
// what the seed's trigger writes of a DELETE, for which it reads NEW. It ends at the first value that is something.
func saysNothing(rowData []byte) bool {
	if len(rowData) > largestEmpty {
		return false
	}
	rest, ok := token(rowData, "{")
	if !ok {
		return false
	}
	for nulls := 0; ; {
		var name []byte
		if name, rest, ok = quoted(rest); !ok {
			return false
		}
		if rest, ok = token(rest, ":"); !ok {
			return false
		}
		if after, null := token(rest, "null"); null {
			rest = after
			nulls++
		} else if _, rest, ok = quoted(rest); !ok || string(name) != "event_type" {
			return false
		}
		after, more := token(rest, ",")
		if !more {
			_, end := token(rest, "}")
			return end && nulls > 0
		}
		rest = after
	}
}

// token takes what must come next, after any blanks.
func token(json []byte, what string) (rest []byte, ok bool) {
	return bytes.CutPrefix(bytes.TrimLeft(json, " \t\r\n"), []byte(what))
}

// quoted takes a JSON string and returns what is between its quotes, as it is spelled.
func quoted(json []byte) (text, rest []byte, ok bool) {
	if json, ok = token(json, `"`); !ok {
		return nil, nil, false
	}
	for i := 0; i < len(json); i++ {
		switch json[i] {
		case '\\':
			i++
		case '"':
			return json[:i], json[i+1:], true
		}
	}
	return nil, nil, false
}
