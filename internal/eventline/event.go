// Package eventline shows events of the native format to people, one a line.
package eventline

import (
	"encoding/json"
	"strings"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/terminal"
)

// Event is an event in the native format, as far as a person wants to see it.
type Event struct {
	decoder.Position
	Kind       string    `json:"kind"`
	Op         string    `json:"op"`
	CommitTime time.Time `json:"commit_time"`
	Incomplete bool      `json:"incomplete"`
	Row        Row       `json:"row"`
}

// Row is the row of the audit table.
type Row struct {
	EventType  string          `json:"event_type"`
	UserName   string          `json:"user_name"`
	SchemaName string          `json:"schema_name"`
	TableName  string          `json:"table_name"`
	RowData    json.RawMessage `json:"row_data"`
}

// narrow is the width, in columns, below which the user is left out of a line.
const narrow = 64

// Render makes a line of width columns at most, without its end: time, operation, table, user, and what the row says, cut to
// what there is room for. Values are free of what steers a terminal.
func (e *Event) Render(width int, colours bool) string {
	paint, sign := terminal.Gray, " "
	switch strings.ToUpper(e.Row.EventType) {
	case "INSERT":
		paint, sign = terminal.Green, "+"
	case "UPDATE":
		paint, sign = terminal.Yellow, "~"
	case "DELETE", "TRUNCATE":
		paint, sign = terminal.Red, "-"
	}
	operation, what, about := e.Row.EventType, e.table(), change(e.Row.RowData)
	switch e.Kind {
	case decoder.KindTamper.String():
		paint, sign, operation, what = terminal.Red, "!", strings.ToUpper(e.Op), "of the audit table itself"
	case decoder.KindRetention.String():
		paint, sign, operation, what = terminal.Gray, "·", strings.ToUpper(e.Op), "expired in the audit table"
	}
	if e.Incomplete {
		about = strings.TrimSpace(about + " (the trigger does not say what)")
	}
	l := terminal.Line{Room: width - 1, Colours: colours} // in the last column some terminals begin a new line
	l.Add(terminal.Gray, e.CommitTime.Local().Format("15:04:05.000"), 12)
	l.Add(paint, sign+" "+operation, 8)
	l.Add(terminal.Bold, what, 11)
	if width >= narrow {
		l.Add(terminal.Gray, e.Row.UserName, 12)
	}
	l.Add("", about, 0)
	return l.String()
}

// table is the audited table, with its schema unless that is the usual one.
func (e *Event) table() string {
	if e.Row.SchemaName == "" || e.Row.SchemaName == "public" {
		return e.Row.TableName
	}
	return e.Row.SchemaName + "." + e.Row.TableName
}
