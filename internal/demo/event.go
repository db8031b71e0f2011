package demo

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"pgwitness/decoder"
	"pgwitness/internal/terminal"
)

// event is an event in the native format, as far as the demo reads it.
type event struct {
	decoder.Position
	ID         string    `json:"id"`
	Kind       string    `json:"kind"`
	Op         string    `json:"op"`
	CommitTime time.Time `json:"commit_time"`
	Incomplete bool      `json:"incomplete"`
	Row        struct {
		ID        int64           `json:"id"`
		EventType string          `json:"event_type"`
		UserName  string          `json:"user_name"`
		TableName string          `json:"table_name"`
		RowData   json.RawMessage `json:"row_data"`
	} `json:"row"`
}

// narrow is the width, in columns, below which the user is left out of a line.
const narrow = 64

// render makes a line for a person of width columns, without its end.
func (e *event) render(width int, colours bool) string {
	paint, sign := terminal.Gray, " "
	switch e.Row.EventType {
	case "INSERT":
		paint, sign = terminal.Green, "+"
	case "UPDATE":
		paint, sign = terminal.Yellow, "~"
	case "DELETE":
		paint, sign = terminal.Red, "-"
	}
	operation, what := e.Row.EventType, e.Row.TableName
	if e.Kind != decoder.KindAudit.String() {
		paint, sign, operation, what = terminal.Red, "!", strings.ToUpper(e.Op), "of the audit table itself"
	}
	l := line{room: width - 1, colours: colours}
	l.add(terminal.Gray, e.CommitTime.Local().Format("15:04:05.000"), 12)
	l.add(paint, sign+" "+operation, 8)
	l.add(terminal.Bold, what, 11)
	if width >= narrow {
		l.add(terminal.Gray, e.Row.UserName, 12)
	}
	l.add("", change(e.Row.RowData), 0)
	return l.String()
}

// line is a line of columns that does not grow past its room.
type line struct {
	strings.Builder
	room    int
	colours bool
}

// add appends text, padded to width, and two blanks before it.
func (l *line) add(paint, text string, width int) {
	gap := 2
	if l.Len() == 0 {
		gap = 0
	}
	length := utf8.RuneCountInString(text)
	if room := l.room - gap; length > room {
		if room < 1 {
			return
		}
		text, length = string([]rune(text)[:room-1])+"…", room
	}
	l.room -= gap + max(length, width)
	l.WriteString(strings.Repeat(" ", gap))
	if l.colours && paint != "" {
		l.WriteString(paint + text + terminal.Reset)
	} else {
		l.WriteString(text)
	}
	if l.room > 0 {
		l.WriteString(strings.Repeat(" ", max(0, width-length)))
	}
}

// change says in short what the triggers of the demo put into row_data.
func change(rowData []byte) string {
	var parts []string
	before := map[string]string{}
	id := ""
	for _, m := range members(rowData) {
		switch {
		case string(m.value) == "null", m.name == "event_type", m.name == "new":
			// The seed's function has nothing to say of a deleted row, and of any other says the operation twice.
		case m.name == "id":
			id = "#" + text(m.value)
		case m.name == "old":
			for _, old := range members(m.value) {
				before[old.name] = text(old.value)
			}
		default:
			parts = append(parts, m.name+" "+text(m.value))
		}
	}
	var update struct{ New json.RawMessage }
	_ = json.Unmarshal(rowData, &update) // without it there is nothing to add
	for _, after := range members(update.New) {
		parts = append(parts, after.name+" "+before[after.name]+" → "+text(after.value))
	}
	return strings.TrimSpace(id + " " + strings.Join(parts, ", "))
}

type member struct {
	name  string
	value json.RawMessage
}

// members returns the members of a JSON object in their order, and none of anything else.
func members(object []byte) []member {
	var all []member
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return all
		}
		all = append(all, member{name.(string), value})
	}
	return all
}

// text is a JSON value as a person reads it: a string without its quotes.
func text(value json.RawMessage) string {
	s := string(value)
	_ = json.Unmarshal(value, &s) // null, numbers and the rest stay as they are
	return s
}
