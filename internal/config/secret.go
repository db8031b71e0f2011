package config

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted stands for a secret wherever one would be printed.
const redacted = "[redacted]"

// Secret is a string that no print of it shows: not fmt (but for %p, which go vet refuses), not encoding/json, not slog.
// string(s) reveals it.
type Secret string

// String returns "[redacted]", or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format prints what String returns, whatever the verb: for a verb that does not suit a string, fmt would otherwise pass
// by String and print the text itself.
func (s Secret) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, s.String())
}

// GoString returns what String returns.
func (s Secret) GoString() string { return s.String() }

// MarshalText returns what String returns.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns what String returns.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
