package audit

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"pgwitness/internal/config"
)

// options are the options of a trigger and of the registry. A default is left out.
type options struct {
	Exclude  []string `json:"exclude,omitempty"`
	Mask     []string `json:"mask,omitempty"`
	Virtual  []string `json:"virtual,omitempty"` // columns without a value in a trigger. In no registry: they follow from the table
	Images   string   `json:"images,omitempty"`
	Fail     string   `json:"fail,omitempty"`
	MaxValue int64    `json:"max_value,omitempty"`
}

// defaultMaxValue is capture.sql's.
const defaultMaxValue = 1 << 20

func (o options) json() string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // a person reads it
	_ = encoder.Encode(o)        // strings and a number
	return strings.TrimSpace(b.String())
}

// with gives o as a asks for it to be.
func (o options) with(a Attach) options {
	if a.Exclude != nil {
		o.Exclude = slices.Compact(slices.Sorted(slices.Values(a.Exclude)))
	}
	if a.Mask != nil {
		o.Mask = slices.Compact(slices.Sorted(slices.Values(a.Mask)))
	}
	o.Images = override(o.Images, a.Images, "both")
	o.Fail = override(o.Fail, a.Fail, "closed")
	if a.MaxValue != 0 {
		o.MaxValue = a.MaxValue
	}
	if o.MaxValue == defaultMaxValue {
		o.MaxValue = 0
	}
	return o
}

func override(was, is, usual string) string {
	switch is {
	case "":
		return was
	case usual:
		return ""
	}
	return is
}

// without are the names that are not among others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

// String says what o does, in words.
func (o options) String() string {
	var words []string
	if len(o.Exclude) > 0 {
		words = append(words, "without "+strings.Join(o.Exclude, ", "))
	}
	if len(o.Mask) > 0 {
		words = append(words, "masking "+strings.Join(o.Mask, ", "))
	}
	if o.Images == "changed" {
		words = append(words, "of an UPDATE what changed")
	}
	if o.Fail == "open" {
		words = append(words, "letting a change pass that cannot be audited")
	}
	if o.MaxValue != 0 {
		words = append(words, "values up to "+config.Size(o.MaxValue).String())
	}
	return strings.Join(words, ", ")
}
