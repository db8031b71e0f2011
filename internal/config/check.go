package config

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)
	sinkName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,63}$`)
)

// check finds what is wrong with values that have the right type, and fills in the defaults that depend on others.
func (m *merge) check(c *Config) {
	if !slotName.MatchString(c.Source.Slot) {
		m.reject("source.slot", errors.New("want 1 to 63 of a-z, 0-9 and _, as PostgreSQL demands of a slot's name"))
	}
	m.reject("source.publication", checkName(c.Source.Publication))
	m.reject("source.status_interval", positive(c.Source.StatusInterval))
	m.reject("source.receive_timeout", positive(c.Source.ReceiveTimeout))
	m.reject("buffer.max_bytes", positive(c.Buffer.MaxBytes))
	m.reject("shutdown_grace", positive(c.ShutdownGrace))
	m.reject("log.format", oneOf(c.Log.Format, LogAuto, LogText, LogJSON))
	if c.StateDir == "" {
		m.reject("state_dir", errors.New("want a directory"))
	}
	m.checkHTTP(&c.HTTP)
	m.reject("metrics.tables", checkSeries(c.Metrics.Tables))
	m.reject("metrics.users", checkSeries(c.Metrics.Users))
	m.checkSinks(c.Sinks)
	m.checkConnection(&c.Source)
}

func (m *merge) checkHTTP(h *HTTP) {
	if h.Listen == "off" {
		h.Listen = ""
	}
	m.reject("http.listen", checkListen(h.Listen))
	m.reject("http.linger", notNegative(h.Linger))
}

// Operations are the words that Sink.OnlyOperations may hold.
var Operations = []string{"insert", "update", "delete", "truncate", "other"}

func (m *merge) checkSinks(sinks []Sink) {
	if len(sinks) == 0 && len(m.mistakes) == 0 {
		m.reject("sinks", errors.New("the list is empty: want at least one, such as [{type: stdout}]"))
	}
	names, paths, standardOutput := map[string]string{}, map[string]string{}, ""
	for i, sink := range sinks {
		prefix := "sinks." + strconv.Itoa(i)
		if sinkKeys[sink.Type] == nil {
			continue // said already
		}
		if first := names[sink.Name]; first != "" {
			m.reject(prefix+".name", fmt.Errorf("%s is called %q too: give each a name of its own", first, sink.Name))
		} else if !sinkName.MatchString(sink.Name) {
			m.reject(prefix+".name", errors.New("want 1 to 63 letters, digits and . _ -, for it is a metrics label"))
		}
		names[sink.Name] = prefix
		ownFile := func(key, path string) {
			path = filepath.Clean(path)
			if first := paths[path]; first != "" {
				m.reject(prefix+key, fmt.Errorf("%s writes to this file too: give each a file of its own", first))
			} else {
				paths[path] = prefix
			}
		}
		for _, operation := range sink.OnlyOperations {
			m.reject(prefix+".only_operations", oneOf(operation, Operations...))
		}
		if sink.DeadLetter != "" {
			ownFile(".dead_letter", sink.DeadLetter)
		}
		if sink.Type == SinkStdout {
			if standardOutput != "" {
				m.reject(prefix+".type", fmt.Errorf("%s writes to standard output too, and each would cut the other's lines: keep one", standardOutput))
			}
			standardOutput = prefix
			continue
		}
		file := sink.File
		if file.Path == "" {
			m.reject(prefix+".path", errors.New("missing: name the file to write"))
		} else {
			ownFile(".path", file.Path)
		}
		if file.RotateEvery < 0 {
			m.reject(prefix+".rotate_every", errors.New("want a duration of 0 (never) or more"))
		}
		if file.Keep < 0 {
			m.reject(prefix+".keep", errors.New("want 0 (all) or more"))
		}
		m.reject(prefix+".compress", oneOf(file.Compress, "none", "gzip", "zstd"))
	}
}

// checkConnection parses the connection string once, and names the source after its database.
func (m *merge) checkConnection(s *Source) {
	connection, err := s.ConnConfig()
	if err != nil {
		key := "source.dsn"
		if at, ok := errors.AsType[*credentialError](err); ok {
			key, err = at.key, at.problem
		}
		m.reject(key, err)
		return
	}
	if _, err := s.StandbyConfigs(); err != nil {
		key := standbyKey
		if at, ok := errors.AsType[*credentialError](err); ok {
			key, err = at.key, at.problem
		}
		m.reject(key, err)
	}
	if s.Name == "" {
		s.Name = connection.Database
	}
	if s.Name == "" {
		s.Name = connection.User // PostgreSQL's own default for the database
	}
}

func checkName(name string) error {
	if name == "" || len(name) > maxNameBytes || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return errors.New("want a name of 1 to 63 bytes")
	}
	return nil
}

func checkListen(address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New(`want host:port, :port or "off", such as :9717 or 127.0.0.1:9717`)
	}
	return nil
}

func positive[T time.Duration | Size](v T) error {
	if v <= 0 {
		return errors.New("want more than 0")
	}
	return nil
}

func notNegative(d time.Duration) error {
	if d < 0 {
		return errors.New("want a duration of 0 or more")
	}
	return nil
}

// maxSeries is what one label may take of the series that a Prometheus has for all it scrapes.
const maxSeries = 1000

func checkSeries(n int) error {
	if n < 0 || n > maxSeries {
		return fmt.Errorf("want 0 (off) to %d", maxSeries)
	}
	return nil
}

func oneOf(value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("want one of %s", strings.Join(allowed, ", "))
}
