package eventline

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// rowData is what a row_data may hold, beside the values themselves: that of pgwitness's own triggers (v is 2) holds images
// and the names of what an UPDATE changed; a trigger of the user's own may hold anything.
type rowData struct {
	ID, Key, Old, New, Error json.RawMessage
	Changed                  []string
}

// change says in short what a row_data says: "#7 status open → paid, total 10 → 12".
func change(data []byte) string {
	var d rowData
	_ = json.Unmarshal(data, &d) // what is of another type is not ours, and is left out
	old, after, key := members(d.Old), members(d.New), members(d.Key)
	var parts []string
	add := func(m member) {
		if string(m.value) != "null" && !slices.ContainsFunc(key, func(k member) bool { return k.name == m.name }) {
			parts = append(parts, m.name+" "+text(m.value))
		}
	}
	switch {
	case d.Error != nil && after == nil && old == nil:
		parts = append(parts, "not audited: "+text(d.Error))
	case after != nil && old != nil:
		for _, m := range after {
			before := find(old, m.name)
			if d.Changed == nil && !bytes.Equal(before, m.value) || slices.Contains(d.Changed, m.name) {
				parts = append(parts, m.name+" "+text(before)+" → "+text(m.value))
			}
		}
	case after != nil || old != nil:
		for _, m := range append(after, old...) {
			add(m)
		}
	default:
		for _, m := range members(data) {
			switch m.name {
			case "id", "v", "key", "event_type", "old", "new", "changed", "redacted":
			default:
				add(m)
			}
		}
	}
	return strings.TrimSpace(identity(d, key) + " " + strings.Join(parts, ", "))
}

// identity is the primary key's value, or those of a composite one with their names.
func identity(d rowData, key []member) string {
	switch {
	case len(key) == 1:
		return "#" + text(key[0].value)
	case len(key) > 1:
		var all []string
		for _, k := range key {
			all = append(all, k.name+"="+text(k.value))
		}
		return "#" + strings.Join(all, ",")
	case len(d.ID) > 0 && string(d.ID) != "null":
		return "#" + text(d.ID)
	}
	return ""
}

type member struct {
	name  string
	value json.RawMessage
}

// find returns the value of a name, null if there is none.
func find(in []member, name string) json.RawMessage {
	if i := slices.IndexFunc(in, func(m member) bool { return m.name == name }); i >= 0 {
		return in[i].value
	}
	return json.RawMessage("null")
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
