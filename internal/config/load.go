package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// Options say where Load reads.
type Options struct {
	// File is the YAML file. Defaults to what PGWITNESS_CONFIG names, and without that to no file.
	File string
	// Environ are the variables, "NAME=value", of which those that begin with PGWITNESS_ count. Defaults to os.Environ().
	// The PG* variables are pgconn's to read, from the process's own environment.
	Environ []string
	// Flags override the environment and the file.
	Flags []Flag
}

// Flag is a setting from the command line.
type Flag struct {
	// Name is the flag's name, "--slot", for error messages.
	Name string
	// Key is what the flag sets, "source.slot"; "sinks" adds the sink that Value describes, "stdout" or "file:PATH", to a
	// list that replaces the configured one.
	Key   string
	Value string
}

// Load reads the configuration and checks it, its credential files and its connection string included. It does not
// connect. Its errors are Mistakes.
func Load(options Options) (*Config, error) {
	m, warnings := gather(options)
	config := m.decode()
	config.Warnings = warnings
	m.check(config)
	if len(config.Sinks) > 0 && !slices.ContainsFunc(config.Sinks, func(s Sink) bool { return !s.Filtered() }) {
		config.Warnings = append(config.Warnings, "each sink has a filter (only_tables, except_tables or only_operations): what none lets "+
			"pass is confirmed to the database and kept nowhere else; give one sink everything")
	}
	if len(m.mistakes) > 0 {
		return nil, m.mistakes
	}
	return config, nil
}

// LoadHTTP reads where pgwitness listens, for commands that ask a running one. Values of other keys may be wrong, and
// credential files are not read: who may look need not be able to. Its errors are Mistakes.
func LoadHTTP(options Options) (HTTP, error) {
	m, _ := gather(options)
	if len(m.mistakes) > 0 {
		return HTTP{}, m.mistakes
	}
	config := m.decode()
	m.checkHTTP(&config.HTTP)
	if m.rejected["http.listen"] {
		return HTTP{}, m.mistakes
	}
	return config.HTTP, nil
}

// gather lays the layers over one another and returns the file's warnings beside them.
func gather(options Options) (m *merge, warnings []string) {
	environ := options.Environ
	if environ == nil {
		environ = os.Environ()
	}
	m = newMerge()
	if path := cmp.Or(options.File, lookup(environ, EnvFile)); path != "" {
		file, found, mistakes := readFile(path)
		warnings = found
		m.add(file, mistakes)
	}
	m.add(readEnvironment(environ))
	m.add(readFlags(options.Flags))
	return m, warnings
}

// lookup returns the last value of name, as a process sees its environment.
func lookup(environ []string, name string) string {
	found := ""
	for _, variable := range environ {
		if key, value, _ := strings.Cut(variable, "="); key == name {
			found = value
		}
	}
	return found
}

func readFlags(flags []Flag) (layer, Mistakes) {
	l := newLayer()
	var mistakes Mistakes
	sinks := 0
	for _, flag := range flags {
		if flag.Key != "sinks" {
			l.set(flag.Key, flag.Value, flag.Name)
			continue
		}
		sink := "sinks." + strconv.Itoa(sinks)
		kind, path, hasPath := strings.Cut(flag.Value, ":")
		switch {
		case kind == SinkStdout && !hasPath:
		case kind == SinkFile && path != "":
			l.set(sink+".path", path, flag.Name)
		default:
			mistakes = append(mistakes, fmt.Errorf("%s: %q: want stdout or file:PATH", flag.Name, flag.Value))
			continue
		}
		l.set(sink+".type", kind, flag.Name)
		l.replacesSinks = true
		sinks++
	}
	return l, mistakes
}

// merge lays layers over one another and turns the result into a Config.
type merge struct {
	settings *koanf.Koanf
	// places say where the winning value of each key was written.
	places   map[string]string
	mistakes Mistakes
	// rejected are the keys with a mistake in their value.
	rejected map[string]bool
}

func newMerge() *merge {
	m := &merge{settings: koanf.New("."), places: map[string]string{}, rejected: map[string]bool{}}
	defaults := newLayer()
	for i, sink := range Default().Sinks {
		prefix := "sinks." + strconv.Itoa(i)
		defaults.set(prefix+".type", sink.Type, "")
		defaults.set(prefix+".path", sink.File.Path, "")
	}
	m.add(defaults, nil)
	return m
}

func (m *merge) add(l layer, mistakes Mistakes) {
	m.mistakes = append(m.mistakes, mistakes...)
	if l.replacesSinks {
		m.forget("sinks")
	}
	for _, pair := range alternatives {
		_, first := l.values[pair[0]]
		_, second := l.values[pair[1]]
		switch {
		case first && second:
			m.places[pair[1]] = l.places[pair[1]]
			m.reject(pair[1], fmt.Errorf("%s is given as well: keep one", pair[0]))
		case first:
			m.forget(pair[1])
		case second:
			m.forget(pair[0])
		}
	}
	for key, value := range l.values {
		// Another type has other keys: those of the sink it replaces would be unknown to it.
		if sink, ok := strings.CutSuffix(key, ".type"); ok && m.settings.Exists(key) && m.settings.Get(key) != value {
			m.forget(sink)
		}
	}
	if err := m.settings.Load(confmap.Provider(l.values, "."), nil); err != nil {
		m.mistakes = append(m.mistakes, err)
	}
	maps.Copy(m.places, l.places)
}

// forget removes what is set at prefix and below.
func (m *merge) forget(prefix string) {
	m.settings.Delete(prefix)
	maps.DeleteFunc(m.places, func(key, _ string) bool { return key == prefix || strings.HasPrefix(key, prefix+".") })
}

// place returns where key was written or, if it was not, the list or mapping that lacks it; empty for a default.
func (m *merge) place(key string) string {
	for {
		if place, ok := m.places[key]; ok {
			return place
		}
		dot := strings.LastIndexByte(key, '.')
		if dot < 0 {
			return ""
		}
		key = key[:dot]
	}
}

// reject records what is wrong with the value of key, unless something is already: the first finding is the cause.
func (m *merge) reject(key string, problem error) {
	if problem != nil && !m.rejected[key] {
		m.rejected[key] = true
		m.mistakes = append(m.mistakes, mistakeAt(m.place(key), key, problem))
	}
}

func (m *merge) decode() *Config {
	config := Default()
	m.unmarshal("", &config)
	config.Sinks = nil
	indices := m.settings.MapKeys("sinks")
	for i := range indices {
		prefix := "sinks." + strconv.Itoa(i)
		if !m.settings.Exists(prefix) {
			m.mistakes = append(m.mistakes, fmt.Errorf("%s: missing, though there is a sinks.%s", prefix, indices[len(indices)-1]))
			break
		}
		config.Sinks = append(config.Sinks, m.sink(prefix))
	}
	return &config
}

func (m *merge) sink(prefix string) Sink {
	var sink Sink
	m.unmarshal(prefix, &sink)
	known, ok := sinkKeys[sink.Type]
	if !ok {
		types := slices.Sorted(maps.Keys(sinkKeys))
		problem := fmt.Errorf("missing: want one of %s", strings.Join(types, ", "))
		if sink.Type != "" {
			problem = fmt.Errorf("unknown type %q: did you mean %q?", sink.Type, Nearest(sink.Type, types))
		}
		m.reject(prefix+".type", problem)
		return sink
	}
	for _, name := range m.settings.MapKeys(prefix) {
		if key := prefix + "." + name; !slices.Contains(known, name) {
			m.mistakes = append(m.mistakes, unknownKey(m.place(key), key, prefix+"."+Nearest(name, known)))
		}
	}
	sink.Name = cmp.Or(sink.Name, sink.Type)
	if sink.Type == SinkFile {
		sink.File.Compress = Default().Sinks[0].File.Compress
		m.unmarshal(prefix, &sink.File)
	}
	return sink
}

// unmarshal decodes the settings at prefix into target, over what it holds.
func (m *merge) unmarshal(prefix string, target any) {
	m.decodeErrors(prefix, m.settings.UnmarshalWithConf(prefix, target, koanf.UnmarshalConf{
		DecoderConfig: &mapstructure.DecoderConfig{DecodeHook: decodeValue},
	}))
}

// decodeErrors records what mapstructure reports, one mistake for each key.
func (m *merge) decodeErrors(prefix string, err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, single := range joined.Unwrap() {
			m.decodeErrors(prefix, single)
		}
		return
	}
	var at *mapstructure.DecodeError
	if !errors.As(err, &at) {
		if inner := errors.Unwrap(err); inner != nil {
			m.decodeErrors(prefix, inner)
			return
		}
		m.mistakes = append(m.mistakes, err)
		return
	}
	key := at.Name()
	if prefix != "" {
		key = prefix + "." + key
	}
	m.reject(key, at.Unwrap())
}

// decodeValue turns what was written into a field's type. It says what it wants and never what it got, so that no
// value, which might be a secret in a wrong place, is repeated.
func decodeValue(from, to reflect.Value) (any, error) {
	target := to.Addr().Interface()
	text, ok := reflect.TypeAssert[string](from)
	if list, isList := reflect.TypeAssert[[]string](from); isList && to.Kind() == reflect.Slice {
		text, ok = strings.Join(list, ","), true
	} else if from.Kind() == reflect.Slice && from.Type() != to.Type() {
		return nil, errScalar
	}
	if !ok {
		return from.Interface(), nil
	}
	switch target := target.(type) {
	case *time.Duration:
		parsed, err := time.ParseDuration(text)
		if err != nil {
			return nil, errors.New("want a duration such as 500ms, 10s or 24h")
		}
		return parsed, nil
	case *slog.Level:
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			if strings.ToLower(level.String()) == text {
				return level, nil
			}
		}
		return nil, errors.New("want debug, info, warn or error")
	case *int:
		parsed, err := strconv.Atoi(text)
		if err != nil {
			return nil, errors.New("want a whole number")
		}
		return parsed, nil
	case *bool:
		parsed, err := strconv.ParseBool(text)
		if err != nil {
			return nil, errors.New("want true or false")
		}
		return parsed, nil
	case *Size:
		err := target.UnmarshalText([]byte(text))
		return *target, err
	case *Table:
		err := target.UnmarshalText([]byte(text))
		return *target, err
	case *Tables:
		err := target.UnmarshalText([]byte(text))
		return *target, err
	case *[]string:
		var words []string
		for word := range strings.SplitSeq(text, ",") {
			words = append(words, strings.TrimSpace(word))
		}
		return words, nil
	}
	return text, nil
}
