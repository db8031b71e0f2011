package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// password is given in every place that takes one, and in some that do not. It comes out nowhere.
const password = "pw-7hJ2kQx9"

// mistake is something a person got wrong, and what the process has to say of it. In all of its texts {dir} is a directory
// of its own.
type mistake struct {
	name  string
	args  string            // the command line; defaults to "run"
	env   []string          // "NAME=value"
	files map[string]string // in {dir}, by name; one that ends in a slash is a directory, and pgwitness.yaml is the configuration
	code  int               // defaults to exitUsage
	want  []string          // in the line on standard error: what is wrong, where, what to do

	// For those of which the database has a part, see site.
	sql []string
	// spoil are more mistakes, in the process itself and in its directory.
	spoil []func(*testing.T, *exec.Cmd)
}

// mistakeLimit is how long a process may take to find out. It is far more than it takes: the machine may be busy.
const mistakeLimit = 30 * time.Second

// prepare writes the files of m and returns the process, which has not been started. fill fills in the placeholders.
func (m *mistake) prepare(ctx context.Context, t *testing.T, dir string, fill func(string) string) *exec.Cmd {
	t.Helper()
	args := strings.Fields(fill(m.args))
	if len(args) == 0 {
		args = []string{"run"}
	}
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Dir = dir
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PG") { // libpq's and ours: the case alone says how to connect
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, asMain+"=1", "HOME="+dir, "PGPASSWORD="+password, "PGWITNESS_STATE_DIR="+filepath.Join(dir, "state"),
		"PGWITNESS_HTTP_LISTEN=off")
	for name, content := range m.files {
		path := filepath.Join(dir, fill(name))
		if strings.HasSuffix(name, "/") { // see mistake.files
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(fill(content)), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "pgwitness.yaml" {
			cmd.Env = append(cmd.Env, "PGWITNESS_CONFIG="+path)
		}
	}
	for _, variable := range m.env {
		cmd.Env = append(cmd.Env, fill(variable))
	}
	return cmd
}

// run runs the process to its end and checks all that m says, and what holds for every mistake.
func (m *mistake) run(t *testing.T, dir string, fill func(string) string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), mistakeLimit)
	defer cancel()
	cmd := m.prepare(ctx, t, dir, fill)
	for _, f := range m.spoil {
		f(t, cmd)
	}
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) {
		t.Fatalf("it ended with %v, want an exit code:\n%s", err, &stderr)
	}
	if ctx.Err() != nil {
		t.Fatalf("it did not end by itself:\n%s", &stderr)
	}
	if code, want := exit.ExitCode(), cmp.Or(m.code, exitUsage); code != want {
		t.Errorf("exit code %d, want %d", code, want)
	}
	if stdout.Len() > 0 {
		t.Errorf("standard output: %s", &stdout)
	}
	checkToldOnce(t, stderr.String(), fill, m.want...)
	checkNothingLeaks(t, stderr.String())
}

// checkToldOnce wants one line for a person, at the end, after the lines of the log.
func checkToldOnce(t *testing.T, stderr string, fill func(string) string, want ...string) {
	t.Helper()
	const begin = "pgwitness: "
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	last := lines[len(lines)-1]
	t.Log(last)
	if !strings.HasPrefix(last, begin) || strings.Count("\n"+stderr, "\n"+begin) != 1 {
		t.Errorf("want one line for a person at the end of standard error:\n%s", stderr)
	}
	for _, line := range lines[:len(lines)-1] {
		if !strings.HasPrefix(line, "{") {
			t.Errorf("neither of the log nor the last line: %s", line)
		}
	}
	for _, text := range want {
		if !strings.Contains(last, fill(text)) {
			t.Errorf("no %q in: %s", fill(text), last)
		}
	}
}

// leaks matches what is for those who wrote a program rather than for those who run it.
var leaks = regexp.MustCompile(`goroutine|panic|runtime error|%!|\.go:[0-9]|0x[0-9a-f]{6}|<nil>|strconv\.|unmarshal|(^|: )EOF`)

func checkNothingLeaks(t *testing.T, stderr string) {
	t.Helper()
	if strings.Contains(stderr, password) {
		t.Errorf("the password is on standard error:\n%s", stderr)
	}
	if found := leaks.FindString(stderr); found != "" {
		t.Errorf("%q is on standard error:\n%s", found, stderr)
	}
}

func yaml(text string) map[string]string {
	return map[string]string{"pgwitness.yaml": text}
}

// Those that are found before the database is asked.
func TestMistakes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel ones
	for _, m := range mistakesBeforehand(taken.Addr().String()) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			m.run(t, dir, strings.NewReplacer("{dir}", dir, "{password}", password).Replace)
		})
	}
}

func mistakesBeforehand(taken string) []mistake {
	return []mistake{
		// The command line.
		{name: "command", args: "rnu", want: []string{`unknown command "rnu": did you mean run?`}},
		{name: "command is a DSN", args: "postgres://u:{password}@h/db",
			want: []string{"unknown command that looks like a connection string"}},
		{name: "flag", args: "run --slto x", want: []string{"unknown flag --slto: did you mean --slot?"}},
		{name: "flag of init", args: "init --aply", want: []string{"unknown flag --aply: did you mean --apply?"}},
		{name: "flag without its value", args: "run --slot", want: []string{"--slot", "see pgwitness run --help"}},
		{name: "argument", args: "run shop", want: []string{`unexpected argument "shop"`, "see pgwitness run --help"}},
		{name: "argument of version", args: "version {password}=",
			want: []string{"unexpected argument", "see pgwitness version --help"}},
		{name: "completion", args: "completion ksh", want: []string{`unknown shell "ksh"`, "bash"}},
		{name: "endpos", args: "run --endpos tomorrow", want: []string{"--endpos", `"tomorrow"`, "such as 16/B3748"}},
		{name: "endpos too large", args: "run --endpos 1/123456789", want: []string{"--endpos", "such as 16/B3748"}},
		{name: "password in --dsn", args: "run --dsn postgres://u:{password}@h/db",
			want: []string{"--dsn: holds a password", "PGWITNESS_SOURCE_PASSWORD_FILE"}},
		{name: "password in init's --dsn", args: "init --dsn password={password}",
			want: []string{"--dsn: holds a password", "PGWITNESS_SOURCE_PASSWORD_FILE"}},
		{name: "password in demo's --dsn", args: "demo --dsn postgres://u:{password}@h/db",
			want: []string{"--dsn: holds a password"}},
		{name: "sink", args: "run --sink kafka", want: []string{`--sink: "kafka": want stdout or file:PATH`}},
		{name: "sink without a path", args: "run --sink file:", want: []string{"--sink", "want stdout or file:PATH"}},
		{name: "table without a schema", args: "run --table custom_audit_log",
			want: []string{"--table: source.table: want schema.name, such as public.custom_audit_log"}},
		{name: "slot's name", args: "run --slot Audit", want: []string{"--slot: source.slot: want 1 to 63 of a-z, 0-9 and _"}},
		{name: "address", args: "run --listen 9717", want: []string{"--listen: http.listen: want host:port"}},
		{name: "address taken", args: "run --listen " + taken,
			want: []string{"http.listen: cannot listen", taken, "choose another address"}},
		{name: "address of another machine", args: "run --listen 192.0.2.1:9717",
			want: []string{"http.listen: cannot listen", "192.0.2.1:9717", "choose another address"}},
		{name: "no web configuration", args: "run --listen 127.0.0.1:0", env: []string{"PGWITNESS_HTTP_WEB_CONFIG={dir}/web.yaml"},
			want: []string{"http.web_config: cannot listen: open ", "web.yaml"}},
		{name: "web configuration", args: "run --listen 127.0.0.1:0", env: []string{"PGWITNESS_HTTP_WEB_CONFIG={dir}/web.yaml"},
			files: map[string]string{"web.yaml": "basic_auth_users: {prometheus: {password}}"},
			want:  []string{"http.web_config: cannot listen: crypto/bcrypt: hashedSecret too short"}},
		{name: "standbys", args: "run", env: []string{"PGWITNESS_SOURCE_STANDBY_DSN_FILE={dir}/standbys"},
			files: map[string]string{"standbys": "host=b,c password={password}"},
			want:  []string{"source.standby_dsn_file: line 1: names several hosts"}},
		{name: "log level", args: "run --log-level verbose",
			want: []string{"--log-level: log.level: want debug, info, warn or error"}},
		{name: "log format", args: "run --log-format xml",
			want: []string{"--log-format: log.format: want one of auto, text, json"}},
		{name: "init's role", args: "init --role pg_witness",
			want: []string{"--role: PostgreSQL reserves the name pg_witness"}},
		{name: "init's lock timeout", args: "init --lock-timeout soon",
			want: []string{"--lock-timeout", `"soon"`, "see pgwitness init --help"}},
		{name: "demo's version", args: "demo --postgres 9", want: []string{"--postgres: want one of"}},
		{name: "demo's duration", args: "demo --for -1s", want: []string{"--for: want a duration such as 30s"}},

		// The environment.
		{name: "variable", env: []string{"PGWITNESS_SOURCE_SLTO={password}"},
			want: []string{"PGWITNESS_SOURCE_SLTO: unknown variable: did you mean PGWITNESS_SOURCE_SLOT?"}},
		{name: "variable of a duration", env: []string{"PGWITNESS_SHUTDOWN_GRACE=10"},
			want: []string{"PGWITNESS_SHUTDOWN_GRACE: shutdown_grace: want a duration such as 500ms, 10s or 24h"}},
		{name: "variable of sinks", env: []string{"PGWITNESS_SINKS=[{type: stdout"},
			want: []string{"PGWITNESS_SINKS: not YAML"}},
		{name: "variable of a second sink alone", env: []string{"PGWITNESS_SINKS_2_TYPE=stdout"},
			want: []string{"sinks.1: missing"}},
		{name: "variable of a sink without a type", env: []string{"PGWITNESS_SINKS=[{path: /tmp/x}]"},
			want: []string{"PGWITNESS_SINKS: sinks.0.type: missing: want one of file, stdout"}},

		// The file.
		{name: "file missing", args: "run --config {dir}/pgwitness.yml",
			want: []string{"configuration file: open {dir}/pgwitness.yml"}},
		{name: "file is a directory", args: "run --config {dir}", want: []string{"configuration file", "{dir}"}},
		{name: "file is a log", args: "run --config {dir}/log", files: map[string]string{"log": strings.Repeat("x", 2<<20)},
			want: []string{"{dir}/log is larger than 1MiB"}},
		{name: "not YAML", files: yaml("source:\n\tslot: x\n"), want: []string{"pgwitness.yaml: not YAML: line 2"}},
		{name: "not YAML near a password", files: yaml("source:\n  password: *{password}\n"),
			want: []string{"anchors and aliases are not used here: quote a value"}},
		{name: "two documents", files: yaml("log: {level: info}\n---\nlog: {level: warn}\n"),
			want: []string{"want a single YAML document"}},
		{name: "a word", files: yaml("{password}\n"), want: []string{"pgwitness.yaml:1: configuration: want keys and values"}},
		{name: "key", files: yaml("source:\n  password: {password}\n  publicaton: audit\n"),
			want: []string{`pgwitness.yaml:3: unknown key "source.publicaton": did you mean "source.publication"?`}},
		{name: "section", files: yaml("sorce: {slot: x}\n"),
			want: []string{`pgwitness.yaml:1: unknown key "sorce": did you mean "source"?`}},
		{name: "key with a dot", files: yaml("source.slot: x\n"),
			want: []string{`:1: unknown key "source.slot": nest it, source: {slot: …}`}},
		{name: "key twice", files: yaml("source:\n  slot: a\n  slot: b\n"),
			want: []string{"pgwitness.yaml:3: source.slot: given twice: keep one"}},
		{name: "list for a value", files: yaml("source: {dsn: [{password}]}\n"),
			want: []string{":1: source.dsn: want one value, not a list or a mapping"}},
		{name: "value for a section", files: yaml("source: {password}\n"), want: []string{":1: source: want keys and values"}},
		{name: "size", files: yaml("buffer: {max_bytes: 16MB}\n"),
			want: []string{":1: buffer.max_bytes: want a size in bytes, KiB, MiB or GiB"}},
		{name: "no size", files: yaml("buffer: {max_bytes: 0}\n"), want: []string{":1: buffer.max_bytes: want more than 0"}},
		{name: "duration", files: yaml("source:\n  status_interval: 10 s\n"),
			want: []string{":2: source.status_interval: want a duration such as 500ms, 10s or 24h"}},
		{name: "no duration", files: yaml("source: {receive_timeout: 0s}\n"),
			want: []string{":1: source.receive_timeout: want more than 0"}},
		{name: "several", files: yaml("log: {level: loud}\nsource: {slot: Audit}\n"),
			want: []string{":1: log.level: want debug", "; ", ":2: source.slot: want 1 to 63"}},
		{name: "sinks are a mapping", files: yaml("sinks: {type: stdout}\n"),
			want: []string{":1: sinks: want a list, such as [{type: stdout}]"}},
		{name: "no sinks", files: yaml("sinks: []\n"), want: []string{":1: sinks: the list is empty: want at least one"}},
		{name: "sink's type", files: yaml("sinks: [{type: fiel, path: x}]\n"),
			want: []string{`:1: sinks.0.type: unknown type "fiel": did you mean "file"?`}},
		{name: "sink's key", files: yaml("sinks:\n  - type: file\n    path: x\n    rotate_szie: 1\n"),
			want: []string{`:4: unknown key "sinks.0.rotate_szie": did you mean "sinks.0.rotate_size"?`}},
		{name: "sink's path missing", files: yaml("sinks: [{type: file}]\n"),
			want: []string{":1: sinks.0.path: missing: name the file to write"}},
		{name: "sink's compression", files: yaml("sinks: [{type: file, path: x, compress: zip}]\n"),
			want: []string{":1: sinks.0.compress: want one of none, gzip, zstd"}},
		{name: "sink's keep", files: yaml("sinks: [{type: file, path: x, keep: some}]\n"),
			want: []string{":1: sinks.0.keep: want a whole number"}},
		{name: "two sinks of one name", files: yaml("sinks: [{type: stdout}, {type: stdout}]\n"),
			want: []string{`sinks.1.name: sinks.0 is called "stdout" too: give each a name of its own`}},
		{name: "two sinks on one file", files: yaml("sinks: [{type: file, path: x}, {type: file, name: y, path: ./x}]\n"),
			want: []string{"sinks.1.path: sinks.0 writes to this file too"}},

		// Credentials.
		{name: "dsn twice", files: yaml("source: {dsn: \"password={password}\", dsn_file: x}\n"),
			want: []string{"source.dsn_file: source.dsn is given as well: keep one"}},
		{name: "password twice", files: yaml("source: {password: {password}, password_file: x}\n"),
			want: []string{"source.password_file: source.password is given as well: keep one"}},
		{name: "dsn_file missing", env: []string{"PGWITNESS_SOURCE_DSN_FILE={dir}/{password}"},
			want: []string{"PGWITNESS_SOURCE_DSN_FILE: source.dsn_file: cannot read the file"}},
		{name: "dsn_file is a directory", env: []string{"PGWITNESS_SOURCE_DSN_FILE={dir}"},
			want: []string{"source.dsn_file: cannot read the file"}},
		{name: "dsn_file empty", env: []string{"PGWITNESS_SOURCE_DSN_FILE={dir}/dsn"}, files: map[string]string{"dsn": "\n"},
			want: []string{"source.dsn_file: the file is empty"}},
		{name: "dsn_file malformed", env: []string{"PGWITNESS_SOURCE_DSN_FILE={dir}/dsn"},
			files: map[string]string{"dsn": "postgres://u:{password}/x@h/db"},
			want:  []string{"source.dsn_file:", "percent-encode @ : / and ? in a password"}},
		{name: "password_file missing", env: []string{"PGWITNESS_SOURCE_PASSWORD_FILE={dir}/{password}"},
			want: []string{"PGWITNESS_SOURCE_PASSWORD_FILE: source.password_file: cannot read the file"}},
		{name: "password_file empty", env: []string{"PGWITNESS_SOURCE_PASSWORD_FILE={dir}/password"},
			files: map[string]string{"password": ""}, want: []string{"source.password_file: the file is empty"}},
		{name: "dsn malformed", env: []string{"PGWITNESS_SOURCE_DSN=postgres://u:{password}@h:port/db"},
			want: []string{"PGWITNESS_SOURCE_DSN: source.dsn: in the connection string"}},
		{name: "dsn of words", env: []string{"PGWITNESS_SOURCE_DSN=shop with {password}"},
			want: []string{"PGWITNESS_SOURCE_DSN: source.dsn:", "want postgres://… or keyword=value pairs"}},
		{name: "dsn with an open quote", env: []string{"PGWITNESS_SOURCE_DSN=host=h password='{password}"},
			want: []string{"PGWITNESS_SOURCE_DSN: source.dsn:", "a quote is not closed"}},
		{name: "sslmode", env: []string{"PGHOST=h", "PGSSLMODE=on"},
			want: []string{"source.dsn:", "the PG* variables: sslmode: want disable, allow, prefer, require, verify-ca or verify-full"}},
		{name: "sslrootcert missing", args: "run --dsn postgres://h/db?sslmode=verify-full&sslrootcert={dir}/ca.pem",
			want: []string{"--dsn: source.dsn:", "sslrootcert: cannot read the file"}},
		{name: "sslrootcert holds no certificate",
			env:   []string{"PGHOST=h", "PGSSLMODE=verify-full", "PGSSLROOTCERT={dir}/ca.pem"},
			files: map[string]string{"ca.pem": "{password}"},
			want:  []string{"source.dsn:", "sslrootcert: the file holds no PEM certificate"}},
		{name: "sslcert without sslkey", env: []string{"PGWITNESS_SOURCE_DSN=host=h sslmode=require sslcert={dir}/x"},
			want: []string{"source.dsn:", "sslcert and sslkey: give both or neither"}},
		{name: "service", env: []string{"PGSERVICE=shop"},
			want: []string{"source.dsn:", "service: not found in the service file"}},
		{name: "port", env: []string{"PGPORT=postgres"}, want: []string{"source.dsn:", "port: want a number from 1 to 65535"}},
		{name: "connect_timeout", env: []string{"PGCONNECT_TIMEOUT=1m"},
			want: []string{"source.dsn:", "connect_timeout: want whole seconds"}},

		// The state directory.
		{name: "state_dir's parent missing", args: "run --state-dir {dir}/var/pgwitness",
			want: []string{"state_dir {dir}/var/pgwitness cannot be made", "make it, writable for this user, or name another one"}},
		{name: "state_dir is a file", args: "run --state-dir {dir}/state", files: map[string]string{"state": ""},
			want: []string{"state_dir {dir}/state", "name another one"}},
		{name: "state_dir below a file", args: "run --state-dir {dir}/state/x", files: map[string]string{"state": ""},
			want: []string{"state_dir {dir}/state/x", "name another one"}},
		{name: "checkpoint damaged", files: map[string]string{"state/pgwitness.checkpoint.json": `{"system_id": "7`},
			code: exitEvidence, want: []string{"pgwitness.checkpoint.json is damaged", "move it away to go on"}},
		{name: "checkpoint empty", files: map[string]string{"state/pgwitness.checkpoint.json": ""}, code: exitEvidence,
			want: []string{"pgwitness.checkpoint.json is damaged", "move it away to go on"}},
		{name: "checkpoint of something else", files: map[string]string{"state/pgwitness.checkpoint.json": "{}"},
			code: exitEvidence,
			want: []string{"pgwitness.checkpoint.json is damaged", "no slot in it", "move it away to go on"}},
		{name: "checkpoint is a directory", files: map[string]string{"state/pgwitness.checkpoint.json/x": ""},
			code: exitEvidence,
			want: []string{"pgwitness.checkpoint.json", "make it a file that this user may read and write"}},
	}
}
