package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const testDSN = "postgres://witness@db.example.com/shop"

// clearPG keeps the PG* variables of whoever runs the tests out of them.
func clearPG(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, "")
		}
	}
}

// write puts text into a file that only its owner reads.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load reads the YAML text, environ and flags.
func load(t *testing.T, text string, environ []string, flags ...Flag) (*Config, error) {
	t.Helper()
	clearPG(t)
	options := Options{Environ: slices.Concat([]string{"HOME=/nowhere"}, environ), Flags: flags}
	if text != "" {
		options.File = write(t, "pgwitness.yaml", text)
	}
	return Load(options)
}

func TestPrecedence(t *testing.T) {
	flag := func(value string) []Flag { return []Flag{{Name: "--slot", Key: "source.slot", Value: value}} }
	tests := []struct {
		name    string
		file    string
		environ []string
		flags   []Flag
		want    string
	}{
		{"default", "", nil, nil, "pgwitness"},
		{"file", "source: {slot: a}", nil, nil, "a"},
		{"environment over file", "source: {slot: a}", []string{"PGWITNESS_SOURCE_SLOT=b"}, nil, "b"},
		{"flag over environment", "source: {slot: a}", []string{"PGWITNESS_SOURCE_SLOT=b"}, flag("c"), "c"},
		{"flag over file", "source: {slot: a}", nil, flag("c"), "c"},
		{"an empty variable is none", "source: {slot: a}", []string{"PGWITNESS_SOURCE_SLOT="}, nil, "a"},
		{"a null is none", "source: {slot: }", nil, nil, "pgwitness"},
		{"an empty section", "source:\nlog: ~", nil, nil, "pgwitness"},
		{"digits stay as written", "source: {slot: 007}", nil, nil, "007"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config, err := load(t, test.file, test.environ, test.flags...)
			if err != nil {
				t.Fatal(err)
			}
			if config.Source.Slot != test.want {
				t.Errorf("slot = %q, want %q", config.Source.Slot, test.want)
			}
		})
	}
}

func TestEveryKeyFromTheEnvironment(t *testing.T) {
	standbys := write(t, "standbys", "host=standby\n")
	config, err := load(t, "", []string{
		"PGWITNESS_SOURCE_DSN=" + testDSN,
		"PGWITNESS_SOURCE_PASSWORD=hush",
		"PGWITNESS_SOURCE_TABLE=Audit.\"Log\"",
		"PGWITNESS_SOURCE_SLOT=s",
		"PGWITNESS_SOURCE_PUBLICATION=My Pub",
		"PGWITNESS_SOURCE_NAME=n",
		"PGWITNESS_SOURCE_STATUS_INTERVAL=1s",
		"PGWITNESS_SOURCE_RECEIVE_TIMEOUT=2s",
		"PGWITNESS_BUFFER_MAX_BYTES=64KiB",
		"PGWITNESS_SOURCE_STANDBY_DSN_FILE=" + standbys,
		"PGWITNESS_HTTP_LISTEN=off",
		"PGWITNESS_HTTP_WEB_CONFIG=/web",
		"PGWITNESS_HTTP_SHOW_EVENTS=true",
		"PGWITNESS_HTTP_PPROF=1",
		"PGWITNESS_HTTP_LINGER=30s",
		"PGWITNESS_METRICS_TABLES=20",
		"PGWITNESS_METRICS_USERS=30",
		"PGWITNESS_STATE_DIR=/s",
		"PGWITNESS_SHUTDOWN_GRACE=3s",
		"PGWITNESS_LOG_LEVEL=debug",
		"PGWITNESS_LOG_FORMAT=json",
		`PGWITNESS_SINKS=[{"type":"file","path":"/a","rotate_size":"1GiB","rotate_every":"24h","compress":"zstd","keep":7,"name":"x"}]`,
		"PGWITNESS_SERVICE_HOST=10.0.0.1",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Source: Source{
			DSN: testDSN, Password: "hush", Table: Table{"audit", "Log"}, Slot: "s", Publication: "My Pub", Name: "n",
			StatusInterval: time.Second, ReceiveTimeout: 2 * time.Second, StandbyDSNFile: standbys,
		},
		Sinks: []Sink{{Type: "file", Name: "x", File: FileSink{
			Path: "/a", RotateSize: 1 << 30, RotateEvery: 24 * time.Hour, Compress: "zstd", Keep: 7,
		}}},
		Buffer:        Buffer{64 << 10},
		HTTP:          HTTP{WebConfig: "/web", ShowEvents: true, Pprof: true, Linger: 30 * time.Second},
		Metrics:       Metrics{Tables: 20, Users: 30},
		StateDir:      "/s",
		ShutdownGrace: 3 * time.Second,
		Log:           Log{slog.LevelDebug, "json"},
	}
	if diff := cmp.Diff(want, config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestSinks(t *testing.T) {
	file := func(name, path string) Sink {
		return Sink{Type: "file", Name: name, File: FileSink{Path: path, Compress: "none"}}
	}
	stdout := Sink{Type: "stdout", Name: "stdout"}
	shorthand := func(value string) Flag { return Flag{"--sink", "sinks", value} }
	tests := []struct {
		name    string
		file    string
		environ []string
		flags   []Flag
		want    []Sink
	}{
		{"default", "", nil, nil, Default().Sinks},
		{"file", "sinks: [{type: stdout}, {type: file, path: /a}]", nil, nil, []Sink{stdout, file("file", "/a")}},
		{"block list", "sinks:\n- type: stdout\n  name: out", nil, nil, []Sink{{Type: "stdout", Name: "out"}}},
		{"a null list", "sinks:", nil, nil, Default().Sinks},
		{"list over list", "sinks: [{type: stdout}, {type: file, path: /a}]", []string{"PGWITNESS_SINKS=[{type: stdout}]"}, nil, []Sink{stdout}},
		{"a key of the default", "", []string{"PGWITNESS_SINKS_0_PATH=/b"}, nil, []Sink{file("file", "/b")}},
		{"a key of the file's", "sinks: [{type: file, path: /a, name: x}]", []string{"PGWITNESS_SINKS_0_PATH=/b"}, nil, []Sink{file("x", "/b")}},
		{"a key of the variable's, set before it", "", []string{"PGWITNESS_SINKS_0_NAME=x", "PGWITNESS_SINKS=[{type: file, path: /b}]"}, nil, []Sink{file("x", "/b")}},
		{"one more", "sinks: [{type: stdout}]", []string{"PGWITNESS_SINKS_1_TYPE=file", "PGWITNESS_SINKS_1_PATH=/b"}, nil, []Sink{stdout, file("file", "/b")}},
		{"a filter", `sinks: [{type: stdout, only_tables: [orders, 'Shop."Line Items"'], only_operations: [update, delete]}]`,
			[]string{`PGWITNESS_SINKS_0_EXCEPT_TABLES=crm.a , "b,c"`}, nil, []Sink{{
				Type: "stdout", Name: "stdout", OnlyTables: Tables{{"", "orders"}, {"shop", "Line Items"}},
				ExceptTables: Tables{{"crm", "a"}, {"", "b,c"}}, OnlyOperations: []string{"update", "delete"},
			}}},
		{"a filter in one word", "sinks: [{type: stdout, only_tables: orders, only_operations: 'other , insert'}]", nil, nil,
			[]Sink{{Type: "stdout", Name: "stdout", OnlyTables: Tables{{"", "orders"}}, OnlyOperations: []string{"other", "insert"}}}},
		{"dead letters", "sinks: [{type: stdout}]", []string{"PGWITNESS_SINKS_0_DEAD_LETTER=/d"}, nil,
			[]Sink{{Type: "stdout", Name: "stdout", DeadLetter: "/d"}}},
		{"another type forgets the keys", "sinks: [{type: file, path: /a}]", []string{"PGWITNESS_SINKS_0_TYPE=stdout"}, nil, []Sink{stdout}},
		{"the same type keeps them", "sinks: [{type: file, path: /a}]", []string{"PGWITNESS_SINKS_0_TYPE=file"}, nil, []Sink{file("file", "/a")}},
		{"flags over all", "sinks: [{type: file, path: /a, name: x}]", []string{"PGWITNESS_SINKS_1_PATH=/b"}, []Flag{shorthand("stdout"), shorthand("file:/c:d")}, []Sink{stdout, file("file", "/c:d")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config, err := load(t, test.file, test.environ, test.flags...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, config.Sinks); diff != "" {
				t.Errorf("sinks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	tests := []struct {
		name    string
		file    string
		environ []string
		flags   []Flag
		want    string // FILE stands for the file's path
	}{
		{"unknown key", "source:\n  slto: a", nil, nil, `FILE:2: unknown key "source.slto": did you mean "source.slot"?`},
		{"unknown section", "sourec: {slot: a}", nil, nil, `FILE:1: unknown key "sourec": did you mean "source"?`},
		{"right key, wrong place", "slot: a", nil, nil, `FILE:1: unknown key "slot": did you mean "source.slot"?`},
		{"dotted key", "source.slot: a", nil, nil, `FILE:1: unknown key "source.slot": nest it, source: {slot: …}`},
		{"null under an unknown key", "\npublicaton:", nil, nil, `FILE:2: unknown key "publicaton": did you mean "source.publication"?`},
		{"unknown key of a sink", "sinks:\n- type: file\n  path: /a\n  patth: /b", nil, nil, `FILE:4: unknown key "sinks.0.patth": did you mean "sinks.0.path"?`},
		{"another sink's key", "sinks:\n- type: stdout\n  path: /a", nil, nil, `FILE:3: unknown key "sinks.0.path": did you mean "sinks.0.name"?`},
		{"dotted key of a sink", "sinks:\n- type: stdout\n  a.b: /a", nil, nil, `FILE:3: sinks.0.a.b: want a plain word as the key`},
		{"unknown sink", "sinks:\n- type: fiel", nil, nil, `FILE:2: sinks.0.type: unknown type "fiel": did you mean "file"?`},
		{"sink without a type", "sinks:\n- path: /a", nil, nil, `FILE:2: sinks.0.type: missing: want one of file, stdout`},
		{"unknown variable", "", []string{"PGWITNESS_SOURCE_SLTO=a"}, nil, `PGWITNESS_SOURCE_SLTO: unknown variable: did you mean PGWITNESS_SOURCE_SLOT?`},
		{"unknown variable of a sink", "", []string{"PGWITNESS_SINKS_0_PTAH=a"}, nil, `PGWITNESS_SINKS_0_PTAH: unknown key "sinks.0.ptah": did you mean "sinks.0.path"?`},
		{"variable beyond the list", "", []string{"PGWITNESS_SINKS_900_TYPE=stdout"}, nil, `sinks.1: missing, though there is a sinks.900`},
		{"variable with a bad list", "", []string{"PGWITNESS_SINKS=[{type: stdout}"}, nil, `PGWITNESS_SINKS: not YAML: line 1: did not find expected ',' or ']'`},
		{"variable that is no list", "", []string{"PGWITNESS_SINKS=stdout"}, nil, `PGWITNESS_SINKS: sinks: want a list, such as [{type: stdout}]`},
		{"port that no Service link sets", "", []string{"PGWITNESS_HTTP_PORT=80"}, nil, `PGWITNESS_HTTP_PORT: unknown variable: did you mean PGWITNESS_HTTP_PPROF?`},

		{"not YAML", "source: {", nil, nil, `FILE: not YAML: line 1: did not find expected node content`},
		{"two documents", "source:\n---\nsource:", nil, nil, `FILE: want a single YAML document: remove what follows the second ---`},
		{"a list", "- a", nil, nil, `FILE:1: configuration: want keys and values, not a list or a single value`},
		{"section that is a value", "source: a", nil, nil, `FILE:1: source: want keys and values, not a list or a single value`},
		{"value that is a section", "source: {slot: {a: b}}", nil, nil, `FILE:1: source.slot: want one value, not a list or a mapping`},
		{"value of a sink that is a list", "sinks: [{type: file, path: [a]}]", nil, nil, `FILE:1: sinks.0.path: want one value, not a list or a mapping`},
		{"sink that is a value", "sinks: [stdout]", nil, nil, `FILE:1: sinks.0: want keys and values, not a list or a single value`},
		{"key twice", "source:\n  slot: a\n  slot: b", nil, nil, `FILE:3: source.slot: given twice: keep one`},
		{"alias", "source: {slot: &a b, name: *a}", nil, nil, `FILE:1: source.name: anchors and aliases are not used here: quote a value that begins with & or *`},
		{"key that is a list", "[a]: b", nil, nil, `FILE:1: configuration: want a plain word as the key`},

		{"slot", "source: {slot: My-Slot}", nil, nil, `FILE:1: source.slot: want 1 to 63 of a-z, 0-9 and _, as PostgreSQL demands of a slot's name`},
		{"empty slot", "source: {slot: ''}", nil, nil, `FILE:1: source.slot: want 1 to 63 of a-z, 0-9 and _, as PostgreSQL demands of a slot's name`},
		{"publication", "source: {publication: ''}", nil, nil, `FILE:1: source.publication: want a name of 1 to 63 bytes`},
		{"table", "source: {table: custom_audit_log}", nil, nil, `FILE:1: source.table: want schema.name, such as public.custom_audit_log or "My Schema"."audit"`},
		{"duration", "source: {status_interval: 10}", nil, nil, `FILE:1: source.status_interval: want a duration such as 500ms, 10s or 24h`},
		{"duration of a sink", "sinks: [{type: file, path: /a, rotate_every: 1d}]", nil, nil, `FILE:1: sinks.0.rotate_every: want a duration such as 500ms, 10s or 24h`},
		{"zero duration", "source: {receive_timeout: 0s}", nil, nil, `FILE:1: source.receive_timeout: want more than 0`},
		{"zero grace", "", []string{"PGWITNESS_SHUTDOWN_GRACE=-1s"}, nil, `PGWITNESS_SHUTDOWN_GRACE: shutdown_grace: want more than 0`},
		{"size", "buffer: {max_bytes: 16MB}", nil, nil, `FILE:1: buffer.max_bytes: want a size in bytes, KiB, MiB or GiB, such as 1048576 or 16MiB`},
		{"zero size", "buffer: {max_bytes: 0}", nil, nil, `FILE:1: buffer.max_bytes: want more than 0`},
		{"listen", "", nil, []Flag{{"--listen", "http.listen", "9717"}}, `--listen: http.listen: want host:port, :port or "off", such as :9717 or 127.0.0.1:9717`},
		{"listen beyond the ports", "http: {listen: ':65536'}", nil, nil, `FILE:1: http.listen: want host:port, :port or "off", such as :9717 or 127.0.0.1:9717`},
		{"linger", "http: {linger: -1s}", nil, nil, `FILE:1: http.linger: want a duration of 0 or more`},
		{"truth", "http: {show_events: maybe}", nil, nil, `FILE:1: http.show_events: want true or false`},
		{"series", "metrics: {tables: 1001, users: -1}", nil, nil, `FILE:1: metrics.tables: want 0 (off) to 1000; FILE:1: metrics.users: want 0 (off) to 1000`},
		{"level", "log: {level: loud}", nil, nil, `FILE:1: log.level: want debug, info, warn or error`},
		{"format", "log: {format: xml}", nil, nil, `FILE:1: log.format: want one of auto, text, json`},
		{"state_dir", "state_dir: ''", nil, nil, `FILE:1: state_dir: want a directory`},
		{"no sinks", "sinks: []", nil, nil, `FILE:1: sinks: the list is empty: want at least one, such as [{type: stdout}]`},
		{"file sink without a path", "sinks: [{type: file}]", nil, nil, `FILE:1: sinks.0.path: missing: name the file to write`},
		{"two sinks with one name", "sinks: [{type: stdout}, {type: file, path: /a, name: stdout}]", nil, nil, `FILE:1: sinks.1.name: sinks.0 is called "stdout" too: give each a name of its own`},
		{"two sinks on standard output", "sinks: [{type: stdout}, {type: stdout, name: b}]", nil, nil, `FILE:1: sinks.1.type: sinks.0 writes to standard output too, and each would cut the other's lines: keep one`},
		{"two sinks with one file", "sinks: [{type: file, path: /a}, {type: file, path: /x/../a, name: b}]", nil, nil, `FILE:1: sinks.1.path: sinks.0 writes to this file too: give each a file of its own`},
		{"dead letters in a sink's file", "sinks: [{type: file, path: /a, dead_letter: /x/../a}]", nil, nil, `FILE:1: sinks.0.path: sinks.0 writes to this file too: give each a file of its own`},
		{"dead letters of two sinks in one file", "sinks: [{type: stdout, dead_letter: /d}, {type: file, path: /a, dead_letter: /d}]", nil, nil, `FILE:1: sinks.1.dead_letter: sinks.0 writes to this file too: give each a file of its own`},
		{"table of a filter", "sinks: [{type: stdout, only_tables: 'orders customers'}]", nil, nil, `FILE:1: sinks.0.only_tables: want tables such as orders, shop.customers or "My Schema"."orders", separated by commas`},
		{"no table of a filter", "sinks: [{type: stdout, except_tables: [orders, '']}]", nil, nil, `FILE:1: sinks.0.except_tables: want tables such as orders, shop.customers or "My Schema"."orders", separated by commas`},
		{"table of a filter with three names", "sinks: [{type: stdout, only_tables: a.b.c}]", nil, nil, `FILE:1: sinks.0.only_tables: want tables such as orders, shop.customers or "My Schema"."orders", separated by commas`},
		{"list of lists", "sinks: [{type: stdout, only_tables: [[a]]}]", nil, nil, `FILE:1: sinks.0.only_tables: want one value, not a list or a mapping`},
		{"mapping of a filter", "sinks: [{type: stdout, only_tables: {a: b}}]", nil, nil, `FILE:1: sinks.0.only_tables: want one value, not a list or a mapping`},
		{"operation of a filter", "sinks: [{type: stdout, only_operations: [DELETE]}]", nil, nil, `FILE:1: sinks.0.only_operations: want one of insert, update, delete, truncate, other`},
		{"misspelled filter", "sinks: [{type: stdout, only_table: a}]", nil, nil, `FILE:1: unknown key "sinks.0.only_table": did you mean "sinks.0.only_tables"?`},
		{"name of a sink", "sinks: [{type: stdout, name: a b}]", nil, nil, `FILE:1: sinks.0.name: want 1 to 63 letters, digits and . _ -, for it is a metrics label`},
		{"compress", "sinks: [{type: file, path: /a, compress: lz4}]", nil, nil, `FILE:1: sinks.0.compress: want one of none, gzip, zstd`},
		{"keep", "sinks: [{type: file, path: /a, keep: many}]", nil, nil, `FILE:1: sinks.0.keep: want a whole number`},
		{"negative keep", "sinks: [{type: file, path: /a, keep: -1}]", nil, nil, `FILE:1: sinks.0.keep: want 0 (all) or more`},
		{"negative age", "sinks: [{type: file, path: /a, rotate_every: -1h}]", nil, nil, `FILE:1: sinks.0.rotate_every: want a duration of 0 (never) or more`},
		{"shorthand", "", nil, []Flag{{"--sink", "sinks", "file"}}, `--sink: "file": want stdout or file:PATH`},

		{"dsn and dsn_file", "source: {dsn: a=b, dsn_file: /a}", nil, nil, `FILE:1: source.dsn_file: source.dsn is given as well: keep one`},
		{"port of the dsn", "source: {dsn: 'postgres://h:x/d'}", nil, nil, `FILE:1: source.dsn: in the connection string or the PG* variables: port: want a number from 1 to 65535 (in a URL, percent-encode @ : / and ? in a password)`},
		{"sslmode", "", []string{"PGWITNESS_SOURCE_DSN=host=h sslmode=bogus"}, nil, `PGWITNESS_SOURCE_DSN: source.dsn: in the connection string or the PG* variables: sslmode: want disable, allow, prefer, require, verify-ca or verify-full`},
		{"dsn that quotes another mistake", "", []string{"PGWITNESS_SOURCE_DSN=host=h application_name='sslmode is invalid' connect_timeout=x"}, nil, `PGWITNESS_SOURCE_DSN: source.dsn: in the connection string or the PG* variables: connect_timeout: want whole seconds`},
		{"missing password_file", "source: {password_file: /missing}", nil, nil, `FILE:1: source.password_file: cannot read the file: no such file or directory`},
		{"several at once", "log: {level: loud, colour: on}\nsource: {slot: A}", nil, nil,
			`FILE:1: unknown key "log.colour": did you mean "log.format"?; FILE:1: log.level: want debug, info, warn or error; ` +
				`FILE:2: source.slot: want 1 to 63 of a-z, 0-9 and _, as PostgreSQL demands of a slot's name`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			clearPG(t)
			path := ""
			if test.file != "" {
				path = write(t, "pgwitness.yaml", test.file)
			}
			config, err := Load(Options{File: path, Environ: slices.Concat([]string{}, test.environ, []string{"A="}), Flags: test.flags})
			if err == nil {
				t.Fatalf("loaded %+v", config)
			}
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%T is no ErrInvalid", err)
			}
			got := err.Error()
			if path != "" {
				got = strings.ReplaceAll(got, path, "FILE")
			}
			if runtime.GOOS == "windows" {
				got = strings.ReplaceAll(got, "The system cannot find the file specified.", "no such file or directory")
			}
			if got != test.want {
				t.Errorf("error\n got: %s\nwant: %s", got, test.want)
			}
		})
	}
}

// A sink with a filter does not hold everything, so some other one should.
func TestFiltersOnAllSinksAreWarnedOf(t *testing.T) {
	const filtered = "{type: file, path: /a, except_tables: sessions}"
	for list, want := range map[string]int{
		"[" + filtered + "]": 1,
		"[" + filtered + ", {type: stdout, only_tables: orders}]":       1,
		"[" + filtered + ", {type: stdout, only_operations: [delete]}]": 1,
		"[" + filtered + ", {type: stdout}]":                            0,
	} {
		config, err := load(t, "sinks: "+list, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(config.Warnings) != want {
			t.Errorf("%s: warnings %q, want %d", list, config.Warnings, want)
		}
	}
}

func TestFileErrors(t *testing.T) {
	big := write(t, "big.yaml", strings.Repeat("# nothing\n", maxFileBytes/10+1))
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "missing.yaml"): "missing.yaml",
		t.TempDir(): "configuration file",
		big:         "larger than 1MiB",
	} {
		_, err := Load(Options{Environ: []string{EnvFile + "=" + path}})
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: error %v, want one with %q", path, err, want)
		}
	}
}

func TestKubernetesServiceLinksAreNoKeys(t *testing.T) {
	_, err := load(t, "", []string{
		"PGWITNESS_SERVICE_HOST=10.96.0.7",
		"PGWITNESS_SERVICE_PORT=9717",
		"PGWITNESS_SERVICE_PORT_HTTP=9717",
		"PGWITNESS_PORT=tcp://10.96.0.7:9717",
		"PGWITNESS_PORT_9717_TCP=tcp://10.96.0.7:9717",
		"PGWITNESS_PORT_9717_TCP_PROTO=tcp",
		"PGWITNESS_PORT_9717_TCP_PORT=9717",
		"PGWITNESS_PORT_9717_TCP_ADDR=10.96.0.7",
		"PGWITNESS_METRICS_SERVICE_HOST=10.96.0.8",
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSourceIsNamedAfterTheDatabase(t *testing.T) {
	for dsn, want := range map[string]string{
		testDSN:                 "shop",
		"host=h user=u":         "u",
		"postgres://u@h/?":      "u",
		"host=h dbname='a b c'": "a b c",
	} {
		config, err := load(t, "", []string{"PGWITNESS_SOURCE_DSN=" + dsn})
		if err != nil {
			t.Fatal(err)
		}
		if config.Source.Name != want {
			t.Errorf("%s: name %q, want %q", dsn, config.Source.Name, want)
		}
	}
}

// The example shows every key, and where it gives a value that is the default.
func TestExampleShowsTheDefaults(t *testing.T) {
	clearPG(t)
	const path = "../../deploy/pgwitness.yaml"
	config, err := Load(Options{File: path, Environ: []string{"A="}})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Source.Name = config.Source.Name
	if diff := cmp.Diff(&want, config); diff != "" {
		t.Errorf("example (-default +example):\n%s", diff)
	}

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	known := slices.Clone(keys)
	for _, sink := range sinkKeys {
		known = append(known, sink...)
	}
	for _, key := range known {
		found := slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool {
			return strings.HasPrefix(strings.TrimLeft(line, " #-"), lastPart(key)+":")
		})
		if !found {
			t.Errorf("%s does not show %s", path, key)
		}
	}
}

// A field without a koanf tag would be a key that nobody can set.
func TestEveryFieldHasAKey(t *testing.T) {
	for _, of := range []reflect.Type{
		reflect.TypeFor[Config](), reflect.TypeFor[Source](), reflect.TypeFor[Sink](), reflect.TypeFor[FileSink](),
		reflect.TypeFor[Buffer](), reflect.TypeFor[HTTP](), reflect.TypeFor[Metrics](), reflect.TypeFor[Log](),
	} {
		for field := range of.Fields() {
			if field.Tag.Get("koanf") == "" {
				t.Errorf("%s.%s has no koanf tag", of.Name(), field.Name)
			}
		}
	}
}
