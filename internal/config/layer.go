package config

import (
	"encoding"
	"reflect"
	"slices"
	"strings"
)

// layer is what one place sets: the file, the environment or the flags. Keys are flat, "source.slot"; those of a sink
// hold its index, "sinks.0.path". Values are strings, as they were written; the decoding into Config gives them types.
// That keeps an unquoted password of digits in YAML what it is.
type layer struct {
	values map[string]any
	// places say where each key of values was written, and each list and mapping of sinks.
	places map[string]string
	// replacesSinks is set when the layer holds the list of sinks, not just single keys of its elements.
	replacesSinks bool
}

func newLayer() layer {
	return layer{values: map[string]any{}, places: map[string]string{}}
}

func (l *layer) set(key string, value any, place string) {
	l.values[key] = value
	l.places[key] = place
}

// notScalar is the value of a key that was given a list or a mapping.
var notScalar = []any{}

// keysOf returns the keys of a configuration struct, in its order: those of nested sections are "section.key".
func keysOf(t reflect.Type) []string {
	var keys []string
	for field := range t.Fields() {
		name := field.Tag.Get("koanf")
		switch {
		case name == "-":
		case isSection(field.Type):
			for _, key := range keysOf(field.Type) {
				keys = append(keys, name+"."+key)
			}
		default:
			keys = append(keys, name)
		}
	}
	return keys
}

func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// keys are the keys outside the sinks, and sections those that have keys below them.
var (
	keys     = keysOf(reflect.TypeFor[Config]())
	sections = sectionsOf(keys)
)

func sectionsOf(keys []string) []string {
	var found []string
	for _, key := range keys {
		if section, _, nested := strings.Cut(key, "."); nested && !slices.Contains(found, section) {
			found = append(found, section)
		}
	}
	return found
}

// sinkKeys are the keys of each type of sink.
var sinkKeys = map[string][]string{
	SinkStdout: keysOf(reflect.TypeFor[Sink]()),
	SinkFile:   append(keysOf(reflect.TypeFor[Sink]()), keysOf(reflect.TypeFor[FileSink]())...),
}

// alternatives are the pairs of which a layer may hold one; that one displaces the other from the layers below.
var alternatives = [][2]string{
	{"source.dsn", "source.dsn_file"},
	{"source.password", "source.password_file"},
}
