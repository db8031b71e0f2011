// Package config reads pgwitness's configuration: one YAML file, PGWITNESS_… variables and flags, each layer over the one
// before, all checked together so that every mistake is told at once.
package config

import (
	"log/slog"
	"time"
)

// Config is the whole configuration. Load returns it checked.
type Config struct {
	// Source is the database and the audit table in it.
	Source Source `koanf:"source"`
	// Sinks are the destinations; every event goes to each of them. Defaults to one file sink that writes to
	// /var/lib/pgwitness/audit.jsonl.
	Sinks []Sink `koanf:"-"`
	// Buffer bounds what is held in memory.
	Buffer Buffer `koanf:"buffer"`
	// HTTP serves /metrics, /healthz, /readyz, /status and a page.
	HTTP HTTP `koanf:"http"`
	// Metrics says which metrics there are beside those that every run has.
	Metrics Metrics `koanf:"metrics"`
	// StateDir is a directory for what pgwitness remembers between runs. Defaults to /var/lib/pgwitness.
	StateDir string `koanf:"state_dir"`
	// ShutdownGrace is how long a stopping pgwitness may take to finish and confirm the batch at hand. Defaults to 10s.
	ShutdownGrace time.Duration `koanf:"shutdown_grace"`
	// Log is the log on standard error.
	Log Log `koanf:"log"`

	// Warnings are findings that do not prevent a start, one sentence each, for the log.
	Warnings []string `koanf:"-"`
}

// Source says where the audit rows come from.
type Source struct {
	// DSN is a connection string as libpq takes it: a URL or keywords and values. What it leaves out is taken from the PG*
	// variables. Defaults to empty: the PG* variables alone.
	DSN Secret `koanf:"dsn"`
	// DSNFile names a file that holds the DSN, read again at each dial. Excludes DSN.
	DSNFile string `koanf:"dsn_file"`
	// Password is used instead of any password in the DSN, in PGPASSWORD or in a password file of libpq's.
	Password Secret `koanf:"password"`
	// PasswordFile names a file that holds the password, read again at each dial. Excludes Password.
	PasswordFile string `koanf:"password_file"`
	// Table is the audit table. Defaults to public.custom_audit_log.
	Table Table `koanf:"table"`
	// Slot is the replication slot. Defaults to pgwitness.
	Slot string `koanf:"slot"`
	// Publication is the publication that holds Table, spelled as the catalog has it. Defaults to pgwitness.
	Publication string `koanf:"publication"`
	// Name is the events' "source". Defaults to the database's name.
	Name string `koanf:"name"`
	// StatusInterval is the longest time between two standby status updates. Defaults to 10s.
	StatusInterval time.Duration `koanf:"status_interval"`
	// ReceiveTimeout is how long the link may be silent, a keepalive having been asked for, before it is given up as
	// dead. Defaults to 60s.
	ReceiveTimeout time.Duration `koanf:"receive_timeout"`
	// StandbyDSNFile names a file with a connection string a line: the physical standbys whose copy of the slot is watched, so
	// that a failover which would lose it is known beforehand. Read again at each dial. Defaults to empty: none is.
	StandbyDSNFile string `koanf:"standby_dsn_file"`
}

// The types of sink.
const (
	SinkStdout = "stdout"
	SinkFile   = "file"
)

// Sink is one destination.
type Sink struct {
	// Type is SinkStdout or SinkFile.
	Type string `koanf:"type"`
	// Name is the metrics' label "sink", different for each sink. Defaults to Type.
	Name string `koanf:"name"`
	// OnlyTables are the audited tables whose audit events the sink gets; one without a schema counts in any. Together with the
	// two that follow it makes a sink that does not hold everything. Defaults to all tables, and what is of none.
	OnlyTables Tables `koanf:"only_tables"`
	// ExceptTables are audited tables whose audit events it does not get. Defaults to none.
	ExceptTables Tables `koanf:"except_tables"`
	// OnlyOperations are the operations on the audited table, of insert, update, delete, truncate and other, whose audit events it
	// gets. Defaults to all.
	OnlyOperations []string `koanf:"only_operations"`
	// DeadLetter names a file for the events that the destination refuses for good, which the stream then goes on without.
	// Defaults to empty: such an event stops the stream.
	DeadLetter string `koanf:"dead_letter"`
	// File holds the keys of a file sink, and is zero for any other.
	File FileSink `koanf:"-"`
}

// Filtered says that the sink does not get every event.
func (s *Sink) Filtered() bool {
	return len(s.OnlyTables) > 0 || len(s.ExceptTables) > 0 || len(s.OnlyOperations) > 0
}

// FileSink is a file of JSON lines.
type FileSink struct {
	// Path is the file. It has no default.
	Path string `koanf:"path"`
	// RotateSize is the size from which a new file is begun. Defaults to 0: never.
	RotateSize Size `koanf:"rotate_size"`
	// RotateEvery is the age from which a new file is begun. Defaults to 0: never.
	RotateEvery time.Duration `koanf:"rotate_every"`
	// Compress is how rotated files are compressed: none, gzip or zstd. Defaults to none.
	Compress string `koanf:"compress"`
	// Keep is how many rotated files are kept. Defaults to 0: all of them.
	Keep int `koanf:"keep"`
}

// Buffer bounds the events between the database and the sinks.
type Buffer struct {
	// MaxBytes bounds the events that were received and are not durable yet, beside one row; at the bound reading pauses.
	// Defaults to 16MiB.
	MaxBytes Size `koanf:"max_bytes"`
}

// HTTP is the observability server.
type HTTP struct {
	// Listen is the address, host:port or :port; empty turns the server off, and so does "off", which Load makes empty.
	// Defaults to :9717.
	Listen string `koanf:"listen"`
	// WebConfig names a file in the format of Prometheus's exporters that turns on TLS and basic authentication. Defaults to
	// empty: neither.
	WebConfig string `koanf:"web_config"`
	// ShowEvents lets whoever reaches the address read events, with all that is in their rows. Defaults to false.
	ShowEvents bool `koanf:"show_events"`
	// Pprof serves Go's profiles below /debug/pprof/. Defaults to false.
	Pprof bool `koanf:"pprof"`
	// Linger is how long the address is still served after a run that ended because a person is needed (exit codes 3 and 4), so
	// that the next scrape sees it. Defaults to 0: not at all.
	Linger time.Duration `koanf:"linger"`
}

// Metrics are those that cost a series for each value found in the audit rows.
type Metrics struct {
	// Tables is of how many audited tables rows are counted by table and operation, first come; the others are counted
	// together. Defaults to 0: nothing is counted by table.
	Tables int `koanf:"tables"`
	// Users is the same for the rows' user_name. Defaults to 0: nothing is counted by user.
	Users int `koanf:"users"`
}

// The log's formats.
const (
	LogAuto = "auto"
	LogText = "text"
	LogJSON = "json"
)

// Log is what is logged and how.
type Log struct {
	// Level is the lowest level logged: debug, info, warn or error. Defaults to info.
	Level slog.Level `koanf:"level"`
	// Format is text, json, or auto: text on a terminal and JSON elsewhere. Defaults to auto.
	Format string `koanf:"format"`
}

// Default returns the configuration that an empty file stands for, but for Source.Name, which Load takes from the
// database's name.
func Default() Config {
	return Config{
		Source: Source{
			Table:          Table{Schema: "public", Name: "custom_audit_log"},
			Slot:           "pgwitness",
			Publication:    "pgwitness",
			StatusInterval: 10 * time.Second,
			ReceiveTimeout: 60 * time.Second,
		},
		Sinks: []Sink{{
			Type: SinkFile,
			Name: SinkFile,
			File: FileSink{Path: "/var/lib/pgwitness/audit.jsonl", Compress: "none"},
		}},
		Buffer:        Buffer{MaxBytes: 16 << 20},
		HTTP:          HTTP{Listen: ":9717"},
		StateDir:      "/var/lib/pgwitness",
		ShutdownGrace: 10 * time.Second,
		Log:           Log{Level: slog.LevelInfo, Format: LogAuto},
	}
}
